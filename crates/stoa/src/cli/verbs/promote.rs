//! `stoa promote`: the very release that another environment runs serves here too.

use crate::api::types::PromoteRequest;
use crate::cli::Context;
use crate::cli::args::Promote;
use crate::cli::deploying::Deploying;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::Located;
use crate::cli::typed::Typed;
use crate::cli::who;
use std::process::ExitCode;
use stoa_model::EnvironmentName;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Promote) -> Outcome<ExitCode> {
    let site = context.place.locate(&context.global, None)?;
    let mut deploying = Deploying::new(context, &site)?;
    let from = &arguments.from;
    if *from == site.environment {
        return Err(to_itself(from, &deploying.typed));
    }
    let state = site.beside(from);
    if !state.database().is_file() {
        return Err(never_up(from, &site, &deploying.typed));
    }
    let environment = from.clone();
    let request = PromoteRequest { environment, state: state.root().to_owned(), by: who::asks() };
    let client = deploying.client.clone();
    let accepted = deploying.ask(client.promote(&request))?;
    let first = format!(
        "deployment {}: what {from} runs is to serve in {} as release {}",
        accepted.number, site.environment, accepted.release
    );
    let again = deploying.typed.line(&format!("promote {from}"));
    deploying.follow(&accepted, &first, &again, arguments.watch)
}

fn to_itself(environment: &EnvironmentName, typed: &Typed) -> Failure {
    let what = format!("{environment} cannot be promoted to itself");
    let why = "a release is promoted from one environment to another: to production, or to that of -e";
    let next = if environment.is_production() {
        format!("name the one it comes from, such as: {}", typed.line("promote staging"))
    } else {
        let production = typed.of_environment(&EnvironmentName::default());
        format!("to promote it to production: {}", production.line(&format!("promote {environment}")))
    };
    Failure::usage(what, why, next)
}

fn never_up(environment: &EnvironmentName, site: &Located, typed: &Typed) -> Failure {
    let why = format!("nothing was ever brought up in {}", site.beside(environment).root().display());
    let next = format!("bring it up first: {}", typed.of_environment(environment).folder_line("up"));
    Failure::failed(format!("{environment} runs no release"), why, next)
}
