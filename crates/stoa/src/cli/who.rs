//! Who asks: for the journal, and for people who ask for something else at the same time.

/// More of a name than this helps nobody.
const NAME_MAX: usize = 64;

/// `anna@laptop`: the user that typed the command, also through sudo, and the machine.
pub(crate) fn asks() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    named(|name| std::env::var(name).ok(), rustix::process::getuid().as_raw(), &host)
}

/// From what the environment says, which is believed: whoever may ask may say anything.
fn named(variable: impl Fn(&str) -> Option<String>, uid: u32, host: &str) -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(variable);
    let user = user.map(|name| plain(&name)).find(|name| !name.is_empty());
    let user = user.unwrap_or_else(|| format!("uid {uid}"));
    match plain(host) {
        host if host.is_empty() => user,
        host => format!("{user}@{host}"),
    }
}

fn plain(name: &str) -> String {
    name.trim().chars().filter(|c| c.is_alphanumeric() || "-_.@+".contains(*c)).take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_the_user_at_the_keyboard() {
        let asks = |variables: &[(&str, &str)], host: &str| {
            let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            named(found, 1000, host)
        };
        assert_eq!(asks(&[("USER", "root"), ("SUDO_USER", "anna")], "laptop\n"), "anna@laptop");
        assert_eq!(asks(&[("USER", "ben")], "laptop"), "ben@laptop");
        assert_eq!(asks(&[("USER", "")], ""), "uid 1000");
        assert_eq!(asks(&[("USER", "x\u{1b}[2J y")], "h\u{7}"), "x2Jy@h");
    }
}
