//! `stoa db …`: how the database stands, a shell in it, another primary, which statements take the time.

use crate::api::types::database::{DatabaseReport, SwitchoverRequest};
use crate::cli::Context;
use crate::cli::args::{Db, DbShell, DbSwitchover, Folder};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::Located;
use crate::cli::provide::interrupted;
use crate::cli::render::{self, units};
use crate::cli::session::Session;
use crate::cli::style::Mood;
use crate::cli::typed::Typed;
use crate::cli::who;
use crate::client::Client;
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use stoa_model::cluster::SwitchoverState;
use stoa_model::{Endpoint, InstanceId, Millis};
use stoa_tiers::database::accounts;
use stoa_tiers::host::credentials::Credentials;
use stoa_tiers::host::programs;

/// Between two looks at a switchover.
const LOOK: Duration = Duration::from_millis(50);
/// A switchover that has not come to an end by then is left to itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Db) -> Outcome<ExitCode> {
    match arguments {
        Db::Status(folder) => status(context, folder),
        Db::Shell(shell_of) => shell(context, shell_of),
        Db::Switchover(switchover_to) => switchover(context, switchover_to),
        Db::Top(folder) => top(context, folder),
    }
}

fn status(context: &Context, arguments: &Folder) -> Outcome<ExitCode> {
    let screen = context.screen;
    let site = context.place.locate(&context.global, arguments.folder.as_deref())?;
    let typed = Typed::located(context, &site);
    let report = report(&mut Session::new()?, &Client::new(&site.paths), &typed)?;
    screen.answer(&report);
    screen.say(render::database::status(&report, screen.style, screen.width).trim_end());
    Ok(ExitCode::SUCCESS)
}

fn top(context: &Context, arguments: &Folder) -> Outcome<ExitCode> {
    let screen = context.screen;
    let site = context.place.locate(&context.global, arguments.folder.as_deref())?;
    let typed = Typed::located(context, &site);
    let asked = Session::new()?.wait(Client::new(&site.paths).database_top()).map_err(|_| interrupted())?;
    let top = asked.map_err(|error| Failure::client(error, &typed))?;
    screen.answer(&top);
    screen.say(render::database::top(&top, screen.style, screen.width).trim_end());
    Ok(ExitCode::SUCCESS)
}

fn report(session: &mut Session, client: &Client, typed: &Typed) -> Outcome<DatabaseReport> {
    let asked = session.wait(client.database()).map_err(|_| interrupted())?;
    asked.map_err(|error| Failure::client(error, typed))
}

/// Becomes the server's own command-line client: as the application, through the splitters; or at one server.
fn shell(context: &Context, arguments: &DbShell) -> Outcome<ExitCode> {
    let site = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &site);
    let (mut session, client) = (Session::new()?, Client::new(&site.paths));
    let asked = session.wait(client.environment()).map_err(|_| interrupted())?;
    let environment = asked.map_err(|error| Failure::client(error, &typed))?;
    let Some(database) = environment.spec.database.as_ref() else {
        let next = typed.folder_line("up");
        return Err(Failure::failed("the site has no database", "its file has no table [database]", next));
    };
    let program = ["mariadb", "mysql"].into_iter().find_map(programs::find).ok_or_else(|| {
        Failure::failed("no client is installed", "neither mariadb nor mysql is found", typed.line("doctor"))
    })?;
    let credentials = Credentials::load_or_create(&site.paths).map_err(|error| {
        let next = "run it as the user that the site belongs to";
        Failure::failed("the credentials of the site cannot be read", error.to_string(), next)
    })?;
    let mut command = Command::new(&program);
    // Of the files that a client reads by itself none belongs to this site.
    command.arg("--no-defaults");
    match arguments.server {
        None => command.arg("--protocol=socket").arg("--socket").arg(site.paths.sql_face()),
        Some(id) => at_server(&mut command, &site, id, &report(&mut session, &client, &typed)?)?,
    };
    command.arg("--user").arg(accounts::APP).arg("--database").arg(&database.name);
    command.args(&arguments.arguments);
    // The environment of a process is its owner's alone; its arguments are everybody's.
    command.env("MYSQL_PWD", credentials.app());
    let error = command.exec();
    let next = "see what it is with: stoa doctor";
    Err(Failure::failed(format!("{} cannot be run", program.display()), error.to_string(), next))
}

/// Over TCP, as the splitters and replicas connect to it: its Unix socket is the daemon's alone.
fn at_server<'c>(
    command: &'c mut Command,
    site: &Located,
    id: InstanceId,
    report: &DatabaseReport,
) -> Outcome<&'c mut Command> {
    let server = report.servers.iter().find(|server| server.id == id);
    let Some((server, Endpoint::Tcp(address))) = server.map(|server| (server, &server.endpoint)) else {
        let what = format!("{id} is no database server of this site");
        return Err(Failure::usage(what, "a shell is of a database", "name one such as database-1"));
    };
    if server.tls {
        // Its own certificate, and no other, is believed: the address it is found at says nothing more.
        command.arg("--ssl-ca").arg(site.paths.database_certificate());
        if command.get_program().as_encoded_bytes().ends_with(b"mariadb") {
            command.arg("--skip-ssl-verify-server-cert");
        }
    }
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    Ok(command.args(["--protocol=tcp", "--host", &host, "--port", &port]))
}

fn switchover(context: &Context, arguments: &DbSwitchover) -> Outcome<ExitCode> {
    let began = Instant::now();
    let screen = context.screen;
    let site = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &site);
    let client = Client::new(&site.paths);
    let mut session = Session::catching()?;
    let request = SwitchoverRequest { to: arguments.to, by: who::asks() };
    let asked = session.wait(client.switchover(&request)).map_err(|_| interrupted())?;
    let accepted = asked.map_err(|error| Failure::client(error, &typed))?;
    screen.say(&typed.adapted(&accepted.text));
    loop {
        let report = report(&mut session, &client, &typed)?;
        let ended = report.switchover.as_ref().filter(|switchover| switchover.number >= accepted.number);
        match ended.map(|switchover| &switchover.state) {
            Some(SwitchoverState::Done { to }) => {
                let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
                let sign = screen.style.sign(Mood::Good);
                screen.say(&format!(
                    "{sign} {to} is the primary of term {}, {}",
                    report.term,
                    units::seconds(took)
                ));
                screen.answer(
                    &json!({ "primary": to, "term": report.term, "seconds": took.0 as f64 / 1000.0 }),
                );
                return Ok(ExitCode::SUCCESS);
            }
            Some(SwitchoverState::Failed { why }) => {
                let still =
                    report.primary.map(|id| format!("{id} is still the primary: ")).unwrap_or_default();
                let next = typed.line("db status");
                return Err(Failure::failed("the primary was not changed", format!("{still}{why}"), next));
            }
            Some(SwitchoverState::Underway) | None => {}
        }
        if began.elapsed() > PATIENCE {
            let next = typed.line("db status");
            let why = format!("it is not over after {} s and goes on by itself", PATIENCE.as_secs());
            return Err(Failure::failed("the switchover takes long", why, next));
        }
        session.pause(LOOK).map_err(|_| interrupted())?;
    }
}
