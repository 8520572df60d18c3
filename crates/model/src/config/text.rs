//! The newtypes of plain text: what a [`Domain`], an [`InnerPath`] and a [`UrlPath`] may hold. They are
//! rendered into the configurations of other programs, so what is not plainly harmless is refused.

use super::{Refusal, refuse};
use crate::site::{Domain, InnerPath, UrlPath};
use std::net::Ipv4Addr;

impl Domain {
    /// Reads a host name and lowers its case.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some((scheme, rest)) = text.split_once("://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            return Err(refuse(
                format!("a domain is written without {}://", super::excerpt(scheme)),
                format!("write \"{}\"", super::excerpt(host)),
            ));
        }
        let fix = "write a host name such as \"www.example.com\": letters, digits, - and dots";
        if !text.is_ascii() {
            let fix = "write its ASCII form, which begins with xn-- (`idn2 NAME` prints it)";
            return Err(refuse("it has characters beyond ASCII", fix));
        }
        if text.starts_with("*.") {
            let fix = "name each host: domain for the main one, aliases for the others";
            return Err(refuse("wildcards are not supported", fix));
        }
        if text.is_empty() || text.len() > 253 {
            return Err(refuse("a domain has 1 to 253 characters", fix));
        }
        if let Some(odd) = text.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.'))
        {
            return Err(refuse(format!("a domain cannot contain {odd:?}"), fix));
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
                let reason =
                    "each part between the dots has 1 to 63 characters and neither begins nor ends with -";
                return Err(refuse(reason, fix));
            }
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
            return Err(refuse("it looks like an IPv4 address and is none", fix));
        }
        Ok(Domain(text.to_ascii_lowercase()))
    }
}

impl InnerPath {
    /// Reads a path inside the release; `./` in front and `/` at the end are dropped.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let fix = "write a folder inside the release such as \"static\" or \"web/assets\"";
        if text.is_empty() {
            return Err(refuse("it is empty", fix));
        }
        if text.starts_with('/') {
            return Err(refuse("it begins with /, but it is relative to the release", fix));
        }
        let mut path = text;
        while let Some(rest) = path.strip_prefix("./") {
            path = rest.trim_start_matches('/');
        }
        let path = path.trim_end_matches('/');
        if path.is_empty() || path == "." {
            return Ok(InnerPath(".".to_owned()));
        }
        let odd =
            |c: &char| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '+' | '@' | '/');
        if let Some(odd) = path.chars().find(odd) {
            let fix = "use letters, digits and . _ - + @, with / between folders";
            return Err(refuse(format!("it contains {odd:?}"), fix));
        }
        if path.len() > 200 {
            return Err(refuse("it is longer than 200 characters", fix));
        }
        for part in path.split('/') {
            match part {
                "" | "." => return Err(refuse("it has an empty part or a `.` between two /", fix)),
                ".." => return Err(refuse("`..` would lead out of the release", fix)),
                ".git" => return Err(refuse(".git is no part of a release", fix)),
                dashed if dashed.starts_with('-') => {
                    return Err(refuse("a part that begins with - looks like an option", fix));
                }
                _ => {}
            }
        }
        Ok(InnerPath(path.to_owned()))
    }

    /// Whether `other` is this folder or lies inside it.
    pub fn holds(&self, other: &InnerPath) -> bool {
        let below =
            other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.0 == "." || below
    }
}

impl UrlPath {
    /// Reads a path of a URL.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let fix = "write a path such as \"/static\"";
        if !text.starts_with('/') {
            return Err(refuse("it does not begin with /", format!("write \"/{}\"", super::excerpt(text))));
        }
        if text == "/" {
            return Ok(UrlPath(text.to_owned()));
        }
        let odd = |c: &char| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '~' | '/');
        if let Some(odd) = text.chars().find(odd) {
            let fix = "use letters, digits and . _ - ~, with / between the parts";
            return Err(refuse(format!("it contains {odd:?}"), fix));
        }
        if text.len() > 200 {
            return Err(refuse("it is longer than 200 characters", fix));
        }
        if text.ends_with('/') {
            let plain = text.trim_end_matches('/');
            let fix = if plain.is_empty() { "write \"/\"".to_owned() } else { format!("write \"{plain}\"") };
            return Err(refuse("it ends with /", fix));
        }
        if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return Err(refuse("it has an empty part, a `.` or a `..`", fix));
        }
        Ok(UrlPath(text.to_owned()))
    }
}
