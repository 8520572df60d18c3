//! php-fpm as an application instance: one process manager on one Unix socket.
//!
//! nginx names a script below [`OWN_RELEASE`], which is another folder for each instance: the release that it was
//! started with. So while two releases serve side by side each instance runs its own code, whatever nginx takes
//! for the release that serves. Before a script runs, a few lines of ours put the real paths in place of that
//! name, and refuse a script that lies outside of the release: what was uploaded lies behind a link.

use super::observe::PING_PATH;
use super::run::{RunError, base, environment};
use crate::host::credentials::Credentials;
use crate::host::launch::{Launch, RenderedFile, StopSignal};
use crate::host::programs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stoa_model::spec::AppSpec;
use stoa_model::{InstanceId, Paths};

/// The folder of its own release, as every instance has it: number 3 is that folder, opened before it started.
pub const OWN_RELEASE: &str = "/proc/self/fd/3";

/// How `instance` is started.
pub fn launch(
    instance: InstanceId,
    spec: &AppSpec,
    paths: &Paths,
    credentials: &Credentials,
    secrets: &BTreeMap<String, String>,
) -> Result<Launch, RunError> {
    let program = programs::find_php_fpm().ok_or(RunError::NoPhp)?;
    let file = paths.instance(instance).join("php-fpm.conf");
    let text = render(instance, spec, paths)?;
    let argv = vec![
        program.into(),
        "--nodaemonize".into(),
        // Its messages go to our log, not only to its own file.
        "--force-stderr".into(),
        "--fpm-config".into(),
        file.clone().into(),
    ];
    let environment = environment(Some(instance), spec, paths, credentials, secrets);
    let mut launch = base(instance, spec, paths, environment, argv);
    launch.stop_signal = StopSignal::Quit;
    launch.files.push(RenderedFile { path: file, text, secret: false });
    launch.files.push(RenderedFile {
        path: prelude(instance, paths),
        text: PRELUDE.to_owned(),
        secret: false,
    });
    launch.held = Some(paths.release(&spec.release));
    launch.folders.push(sessions(paths));
    Ok(launch)
}

/// Sessions are shared by the instances and outlive a release.
fn sessions(paths: &Paths) -> PathBuf {
    paths.root().join("sessions")
}

/// Run before every script.
fn prelude(instance: InstanceId, paths: &Paths) -> PathBuf {
    paths.instance(instance).join("prelude.php")
}

const PRELUDE: &str = "\
<?php
// Made by Stoa; a change here is lost at the next start.
(static function () {
    $release = realpath('/proc/self/fd/3');
    $script = realpath($_SERVER['SCRIPT_FILENAME']);
    $inside = is_string($release) && is_string($script) && strncmp($script, \"$release/\", strlen($release) + 1) === 0;
    if (!$inside) {
        http_response_code(404);
        header('Content-Type: text/plain');
        exit(\"404: there is no such page\\n\");
    }
    $_SERVER['SCRIPT_FILENAME'] = $script;
    $_SERVER['DOCUMENT_ROOT'] = realpath($_SERVER['DOCUMENT_ROOT'] ?? $release);
})();
";

/// php-fpm's configuration.
pub fn render(instance: InstanceId, spec: &AppSpec, paths: &Paths) -> Result<String, RunError> {
    let socket = plain("the socket", &paths.socket(instance))?;
    let run = paths.instance(instance);
    let (pid, log) =
        (plain("the pid file", &run.join("php-fpm.pid"))?, plain("the log", &run.join("error.log"))?);
    let release = plain("the release's folder", &paths.release(&spec.release))?;
    let sessions = plain("the folder of sessions", &sessions(paths))?;
    let prelude = plain("the folder", &prelude(instance, paths))?;
    let grace = spec.stop_timeout.0.div_ceil(1000).max(1);
    Ok(format!(
        "\
; Made by Stoa for {instance}; a change here is lost at the next start.
[global]
pid = {pid}
error_log = {log}
log_level = notice
daemonize = no
process_control_timeout = {grace}s

[{instance}]
listen = {socket}
; Its folder is for the tiers alone.
listen.mode = 0666
listen.backlog = 1024
chdir = {release}
; DATABASE_URL and its like come by the environment.
clear_env = no
catch_workers_output = yes
decorate_workers_output = no
security.limit_extensions = .php
ping.path = {PING_PATH}
ping.response = pong
pm = dynamic
pm.max_children = 20
pm.start_servers = 2
pm.min_spare_servers = 2
pm.max_spare_servers = 6
pm.max_requests = 1000
php_admin_value[cgi.fix_pathinfo] = 0
php_admin_value[auto_prepend_file] = {prelude}
php_admin_flag[expose_php] = off
php_admin_flag[log_errors] = on
php_flag[display_errors] = off
; nginx bounds the body.
php_value[upload_max_filesize] = 0
php_value[post_max_size] = 0
php_value[session.save_path] = {sessions}
php_value[session.gc_probability] = 1
php_value[session.gc_divisor] = 1000
php_value[date.timezone] = UTC
"
    ))
}

/// A path without anything that has a meaning in an ini file.
fn plain(what: &'static str, path: &Path) -> Result<String, RunError> {
    let text = path.to_string_lossy().into_owned();
    let good = |c: char| c.is_alphanumeric() || "/._-+@,:".contains(c);
    if text.chars().all(good) { Ok(text) } else { Err(RunError::Unwritable { what, value: text }) }
}

#[cfg(test)]
#[path = "php_tests.rs"]
mod tests;
