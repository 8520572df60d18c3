//! Environments: what they take from production, what is their own, and how their mistakes are told.

use super::super::*;
use super::{SMALLEST, check_answer, read};
use crate::ids::EnvironmentName;
use crate::site::{Count, Domain, Strategy};
use proptest::prelude::*;
use std::path::Path;

const BASE: &str = r#"
[site]
name = "foobar"
domain = "www.foobar.com"
aliases = ["foobar.com"]

[web]
files = { "/static" = "static" }

[app]
run = "gunicorn app:app --bind $HOST:$PORT"
instances = { min = 2, max = 8 }
env = { LOG_LEVEL = "info", REGION = "eu" }
persist = ["uploads"]

[deploy]
steps = [5, 50]
"#;

fn read_in(text: &str, environment: &str) -> Result<Site, Vec<ConfigError>> {
    parse_environment(text, Path::new("/srv/foobar"), &environment.parse().unwrap())
}

/// [`BASE`] with `more` below it, in staging.
fn staging(more: &str) -> Site {
    read_in(&format!("{BASE}{more}"), "staging").unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn domains(site: &Site) -> Vec<&str> {
    site.domains.iter().map(Domain::as_str).collect()
}

#[test]
fn an_empty_environment_is_production_but_for_its_addresses() {
    let production = read(BASE).unwrap();
    let mut staging = staging("[environments.staging]\n");
    assert_eq!(domains(&staging), ["staging.www.foobar.com"]);
    assert_eq!(staging.balancer.listen.to_string(), "0.0.0.0:8081");
    assert_eq!(staging.environment.to_string(), "staging");
    staging.environment = EnvironmentName::default();
    staging.domains = production.domains.clone();
    staging.balancer.listen = production.balancer.listen;
    assert_eq!(staging, production);
}

#[test]
fn an_environment_overrides_any_key() {
    let site = staging(
        "[environments.staging.site]\ndomain = \"staging.foobar.com\"\naliases = [\"s.foobar.com\"]\n\
         [environments.staging]\nbalancer = { listen = \"127.0.0.1:9000\", instances = 1 }\n\
         [environments.staging.app]\ninstances = 1\nref = \"develop\"\n\
         [environments.staging.deploy]\nstrategy = \"canary\"\nsteps = [10]\n\
         [environments.staging.database]\nreplicas = 0\n",
    );
    assert_eq!(domains(&site), ["staging.foobar.com", "s.foobar.com"]);
    assert_eq!((site.balancer.listen.port(), site.balancer.instances), (9000, 1));
    assert_eq!(site.app.as_ref().unwrap().instances, Count::fixed(1));
    assert_eq!((site.source.reference.as_str(), site.deploy.strategy), ("develop", Strategy::Canary));
    assert_eq!((site.deploy.steps, site.database.unwrap().name.as_str()), (vec![10], "foobar"));
}

#[test]
fn tables_are_laid_over_and_lists_replaced() {
    let site = staging(
        "[environments.staging.app]\nenv = { LOG_LEVEL = \"debug\", EXTRA = \"1\" }\npersist = []\n\
         instances = { max = 3 }\n[environments.staging.web]\nfiles = { \"/media\" = \"media\" }\n",
    );
    let app = site.app.unwrap();
    let env: Vec<(&str, &str)> =
        app.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("EXTRA", "1"), ("LOG_LEVEL", "debug"), ("REGION", "eu")]);
    assert_eq!((app.persist.len(), app.instances), (0, Count { min: 2, max: 3 }));
    assert_eq!(site.web.files.len(), 2);
}

#[test]
fn ports_follow_the_places_in_the_file() {
    let text = format!("{BASE}[environments.test]\n[environments.staging.app]\ninstances = 1\n");
    let listen = |environment| read_in(&text, environment).unwrap().balancer.listen.port();
    assert_eq!((listen("production"), listen("test"), listen("staging")), (8080, 8081, 8082));
    let names: Vec<String> = environments(&text).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["test", "staging"]);
}

#[test]
fn the_same_port_on_another_address_is_another_place() {
    let text = format!(
        "{SMALLEST}[balancer]\nlisten = \"127.0.0.1:80\"\n[environments.staging.balancer]\n\
         listen = \"127.0.0.2:80\"\n"
    );
    assert_eq!(read_in(&text, "staging").unwrap().balancer.listen.to_string(), "127.0.0.2:80");
}

#[test]
fn an_environment_that_is_not_there_is_told_with_those_that_are() {
    let told = |text: &str, environment| read_in(text, environment).unwrap_err()[0].to_string();
    let text = format!("{BASE}[environments.staging]\n");
    assert_eq!(
        told(&text, "stagin"),
        "environments, stagin: the file has no such environment; did you mean staging? There are \
         production, staging"
    );
    assert_eq!(
        told(&text, "prod"),
        "environments, prod: the file has no such environment; did you mean production? There are \
         production, staging"
    );
    assert_eq!(
        told(BASE, "staging"),
        "environments, staging: the file has no such environment; add it with [environments.staging], \
         which may be empty"
    );
}

#[test]
fn a_mistake_in_one_environment_is_found_whichever_is_asked_for() {
    let text = format!("{BASE}[environments.staging.app]\ninstances = 0\n[environments.test]\n");
    for environment in ["production", "staging", "test"] {
        let errors = read_in(&text, environment).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].key, "environments.staging.app.instances");
        assert_eq!(text.get(errors[0].span.clone()), Some("0"));
    }
}

#[test]
fn twenty_environments_and_no_more() {
    let many = |count| -> String {
        (1..=count).map(|number| format!("[environments.e{number}]\n")).collect::<String>()
    };
    let site = read_in(&format!("{BASE}{}", many(20)), "e20").unwrap();
    assert_eq!(site.balancer.listen.port(), 8100);
    assert_eq!(read(&format!("{BASE}{}", many(21))).unwrap_err().len(), 1);
}

proptest! {
    #[test]
    fn any_environment_is_answered(
        name in "[a-zA-Z0-9\"-]{0,12}",
        table in prop::sample::select(vec!["site", "app", "web", "balancer", "deploy", "cache", "x"]),
        line in "[a-z_]{1,12} = [ -~]{0,30}",
    ) {
        check_answer(&format!("{BASE}[environments.{name}.{table}]\n{line}\n"));
    }

    #[test]
    fn an_empty_environment_changes_nothing_of_production(
        instances in 1u16..=100, steps in prop::collection::btree_set(1u8..=99, 1..10),
    ) {
        let steps: Vec<u8> = steps.into_iter().collect();
        let text = format!("{SMALLEST}instances = {instances}\n[deploy]\nsteps = {steps:?}\n");
        let with = format!("{text}[environments.staging]\n");
        prop_assert_eq!(read(&text), read(&with));
        let staging = read_in(&with, "staging").unwrap();
        prop_assert_eq!(staging.app, read(&text).unwrap().app);
        prop_assert_eq!(staging.deploy.steps, steps);
    }
}
