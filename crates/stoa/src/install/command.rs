//! The one place in which the command line runs the machine's own tools: argv only, a clean language,
//! nothing on standard input.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// In the environment of everything that an installation runs; see [`super::policy`].
pub(crate) const MARK: &str = "STOA_INSTALLS";

/// Runs `argv` to its end; what it printed, and whether it ended well. `None`: it could not be run.
pub(crate) fn ask(program: impl AsRef<Path>, arguments: &[&str]) -> Option<(bool, String)> {
    let output = command(program.as_ref(), arguments).output().ok()?;
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs `argv` to its end and hands each line that it prints, on either output, to `line`.
pub(crate) fn stream(
    program: impl AsRef<Path>,
    arguments: &[&str],
    mut line: impl FnMut(&str),
) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    let mut command = command(program.as_ref(), arguments);
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // It holds the writing ends, which have to be closed here for the reader to see the end.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    child.wait()
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // needrestart would restart services, and ask about it.
        .env("NEEDRESTART_MODE", "l")
        .env(MARK, "1");
    command
}
