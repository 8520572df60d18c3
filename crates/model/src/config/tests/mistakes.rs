//! Every kind of mistake with the message it gets, as snapshots.

use super::read;

/// The messages that `text` gets, each with its line and column.
fn messages(text: &str) -> String {
    let errors = read(text).expect_err("accepted");
    let line = |error: &super::ConfigError| {
        let (line, column) = error.place(text);
        format!("{line}:{column} {error}")
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// As [`messages`], for `keys` in `table` of an otherwise good file.
fn in_table(table: &str, keys: &str) -> String {
    let required = match table {
        "site" => "",
        _ => "[site]\nname = \"foobar\"\ndomain = \"www.foobar.com\"\n",
    };
    let app = if table == "app" { "" } else { "[app]\nrun = \"node server.js\"\n" };
    messages(&format!("[{table}]\n{keys}\n{required}{app}"))
}

macro_rules! mistakes {
    ($($test:ident: $given:expr;)*) => {$(
        #[test]
        fn $test() {
            insta::assert_snapshot!($given);
        }
    )*};
}

mistakes! {
    an_empty_file: messages("");
    no_toml: messages("[site\nname = foobar\ndomain = \"a.com\"\n");
    texts_without_quotes: messages("[site]\nname = foobar\ndomain = www.foobar.com\n[app]\nrun = 'a\n");
    a_key_twice: messages("[site]\nname = \"a\"\nname = \"b\"\ndomain = \"a.com\"\n[app]\nkind = \"static\"\n");
    tables_that_do_not_exist: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nkind = \"static\"\n[databse]\n[kubernetes]\n[[hosts]]\n");
    tables_that_are_none: messages("site = 1\n[[app]]\nrun = \"a\"\n");
    several_at_once: messages("[site]\nname = \"x; } server {\"\ndomain = \"https://foobar.com\"\n[app]\nrun = \"a | b\"\ninstances = 0\nhealht = \"/\"\n[cache]\nmemory = \"64\"\n");
    site_names: in_table("site", "name = \"x; } server {\"\ndomain = \"foo bar\"\naliases = [\"a.com\", \"münchen.de\", \"*.a.com\", 7]");
    site_types: in_table("site", "name = 7\ndomain = [\"a.com\"]\naliases = \"b.com\"");
    site_twice: in_table("site", "name = \"a\"\ndomain = \"a.com\"\naliases = [\"A.com\", \"b.com\", \"b.com\"]");
    balancer_counts: in_table("balancer", "instances = \"2\"\nlisten = \":8080\"");
    balancer_ports: in_table("balancer", "instances = 9\nlisten = \"0.0.0.0:0\"");
    balancer_names: in_table("balancer", "instances = 1.5\nlisten = \"localhost:8080\"\nport = 80");
    balancer_without_port: in_table("balancer", "instances = -1\nlisten = \"127.0.0.1\"");
    web_values: in_table("web", "instances = 101\nmax_body = \"16\"\ntimeout = \"1h30m\"\nmax_bdy = \"1MB\"");
    web_files: in_table("web", "files = { \"static\" = \"static\", \"/a\" = \"../x\", \"/b\" = \"/etc\", \"/c;\" = \"c\", \"/d\" = 7 }");
    web_publishes_the_source: in_table("web", "files = { \"/\" = \".\" }");
    web_bounds: in_table("web", "max_body = \"1.5GB\"\ntimeout = \"0s\"");
    app_without_run: in_table("app", "instances = 2");
    app_kind: in_table("app", "kind = \"htpp\"\nrun = \"a\"");
    app_php_with_run: in_table("app", "kind = \"php\"\nrun = \"php -S $HOST:$PORT\"");
    app_php_without_root: in_table("app", "kind = \"php\"\n[web]\nfiles = { \"/static\" = \"static\" }");
    app_static_with_keys: in_table("app", "kind = \"static\"\nrun = \"a\"\ninstances = 3\npersist = [\"uploads\"]");
    app_shell: in_table("app", "run = \"gunicorn app:app > log && echo done\"\nbuild = [\"npm ci; npm run build\", \"cat a | b\", \"echo `date`\", \"x=$(y)\", \"NODE_ENV=production npm ci\"]");
    app_build_text: in_table("app", "run = \"a\"\nbuild = \"make\"");
    app_variables: in_table("app", "run = \"gunicorn --bind $HOST:$PROT\"");
    app_variables_of_a_table: in_table("app", "run = \"a $DATABASE_URL\"");
    app_variables_of_another_engine: in_table("app", "run = \"a $MEMCACHED_URL $REDIS_URL\"\n[cache]");
    app_variables_of_nobody: in_table("app", "run = \"a $SECRET_TOKEN\"");
    app_env: in_table("app", "run = \"a\"\nenv = { PORT = \"80\", STOA_SITE = \"x\", \"A B\" = \"c\", WORKERS = 4, OK = \"$x\" }");
    app_persist: in_table("app", "run = \"a\"\npersist = [\"uploads\", \"uploads/big\", \".\", \"../x\"]");
    app_source: in_table("app", "run = \"a\"\nsource = \"ext::sh -c touch% /tmp/x\"\nref = \"--upload-pack=touch /tmp/x\"");
    app_secret: in_table("app", "run = \"a\"\nsource = \"https://me:secret@github.com/you/app.git\"");
    app_times: in_table("app", "run = \"a\"\nstart_timeout = 60\nstop_timeout = \"25h\"\nbuild_timeout = \"10 minutes\"\nhealth = \"healthz\"\nmemory = \"1MB\"");
    app_range: in_table("app", "run = \"a\"\ninstances = { min = 4, max = 2 }");
    app_range_values: in_table("app", "run = \"a\"\ninstances = { min = 0, max = \"8\", step = 2 }");
    app_range_half: in_table("app", "run = \"a\"\ninstances = { max = 8 }");
    app_range_as_a_list: in_table("app", "run = \"a\"\ninstances = [2, 8]");
    app_range_as_a_text: in_table("app", "run = \"a\"\ninstances = \"2..8\"");
    web_range: in_table("web", "instances = { min = 1, max = 101 }");
    app_scaling: in_table("app", "run = \"a\"\nconcurrency = 0\ntarget_wait = \"2m\"");
    app_secrets: in_table("app", "run = \"a\"\nenv = { TOKEN = \"x\" }\nsecrets = [\"STRIPE_KEY\", \"STRIPE_KEY\", \"TOKEN\", \"PATH\", \"DATABASE_URL\", \"STOA_X\", \"LD_PRELOAD\", \"stripe_key\", \"A B\", \"\", \"A=b\", 7]");
    app_secret_in_run: in_table("app", "run = \"a --key $STRIPE_KEY\"\nsecrets = [\"STRIPE_KEY\"]");
    app_password_in_run: in_table("app", "run = \"a --url ${DATABASE_URL}\"\n[database]");
    deploy_values: in_table("deploy", "strategy = \"bluegreen\"\nbatch = 0\nchecks = 21\nmin_requests = 1000001\nkeep_releases = 0\nhold = \"0s\"\nkeep_warm = \"25h\"\nwatch_after = 60\ntask_timeout = \"0s\"\nmax_surges = 2");
    deploy_surge: in_table("deploy", "batch = 3\nmax_surge = 2");
    deploy_steps: in_table("deploy", "steps = [5, 25, 25, 10, 0, 100, \"50\"]");
    deploy_no_steps: in_table("deploy", "steps = []");
    deploy_many_steps: in_table("deploy", "steps = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]");
    deploy_one_step: in_table("deploy", "steps = 5");
    deploy_tasks: in_table("deploy", "migrate = \"a && b\"\nbefore_deploy = \"a $PORT\"\nafter_deploy = [\"a\", \"b\"]");
    deploy_secret: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nrun = \"a\"\nsecrets = [\"KEY\"]\n[deploy]\nmigrate = \"a $KEY\"\nafter_deploy = \"a $DATABASE_URL $STOA_DEPLOY\"\n[database]\n");
    deploy_static: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nkind = \"static\"\n[deploy]\nstrategy = \"canary\"\nmigrate = \"a\"\nkeep_releases = 3\n");
    splitter_values: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nrun = \"a\"\n[database]\n[splitter]\ninstances = 9\nconsistency = \"strong\"\nmax_lag = 10\nconnections = 0\nhold = \"0s\"\nstatement_rows = 0\nstatement_time = \"1ms\"\nstatement_concurrency = \"many\"\n");
    splitter_alone: in_table("splitter", "instances = 2");
    hosts_add: in_table("hosts.provision", "add = \"create\"\nremove = [\"x\"]");
    hosts_words: in_table("hosts.provision", "add = [\"create\", \"$(x)\"]");
    hosts_no_program: in_table("hosts.provision", "add = []");
    hosts_list: in_table("hosts", "provision = 1\nadd = [\"x\"]");
    environments_names: in_table("environments", "production = {}\n\"Production\" = {}\nprod = {}\nPRD = {}\nproducton = {}\n\"\" = {}\n\"a/b\" = {}\nstaging = 1\npre-production = {}\nproduction-eu = {}");
    environments_no_table: messages("environments = 1\n[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nkind = \"static\"\n");
    environments_keys: in_table("environments.staging", "databse = {}\nsite = { name = \"b\" }\napp = 1\nenvironments = { a = {} }\nweb = { file = {} }");
    environments_values: in_table("environments.staging.app", "instances = { min = 0, max = 200 }\nenv = { PORT = \"1\" }\nrun = \"a $X\"");
    environments_elsewhere: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nrun = \"a\"\npersist = [\"b\"]\n[environments.staging.app]\nkind = \"static\"\n[environments.test.app]\nkind = \"php\"\nsource = \"x\"\n");
    environments_without_run: messages("[site]\nname = \"a\"\ndomain = \"a.com\"\n[app]\nkind = \"static\"\n[environments.staging.app]\nkind = \"http\"\n[environments.staging.web]\nfiles = { \"/a\" = \"a\" }\n");
    environments_repeat_nothing: messages("[site]\nname = \"A\"\n[app]\nrun = \"a | b\"\n[environments.staging]\n[environments.test.app]\ninstances = 0\n");
    environments_ports: in_table("balancer", "listen = \"[::]:8080\"\n[environments.a.balancer]\nlisten = \"127.0.0.1:8080\"\n[environments.b]\n[environments.c.balancer]\nlisten = \"0.0.0.0:8082\"");
    environments_past_the_ports: in_table("balancer", "listen = \"0.0.0.0:65534\"\n[environments.a]\n[environments.b]");
    environments_no_domain: messages("[site]\nname = \"a\"\ndomain = \"10.0.0.7\"\n[app]\nkind = \"static\"\n[environments.staging]\n");
    database_values: in_table("database", "engine = \"postgres\"\nreplicas = 9\nname = \"my-shop\"\nmemory = \"big\"");
    database_system_schema: in_table("database", "engine = \"maria\"\nname = \"mysql\"");
    cache_values: in_table("cache", "engine = \"valkey\"\neviction = \"lru\"\nmemory = 64");
    cache_memcached: in_table("cache", "engine = \"memcached\"\neviction = \"noeviction\"");
}

#[test]
fn a_file_that_is_too_long() {
    let text = "#".repeat(super::FILE_MAX + 1);
    insta::assert_snapshot!(messages(&text));
}

#[test]
fn no_more_than_a_person_reads() {
    let unknown: String = (0..500).map(|number| format!("key{number} = 1\n")).collect();
    assert_eq!(read(&format!("[site]\n{unknown}")).unwrap_err().len(), super::super::ERRORS_MAX);
}
