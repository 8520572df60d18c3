//! Where nginx looks for a file that the release that serves does not have: in those before it, through links of
//! a fixed number, so that neither a deploy nor a rollback changes its configuration.

use super::{FILES, Site};
use crate::nginx::quote::{self, Refused};
use std::fmt::Write;
use stoa_model::plan::STATIC_ROOTS;
use stoa_model::site::{AppKind, InnerPath};

impl Site<'_> {
    /// Where in a release the file of a URL is, so that one place can look for it in all of them.
    pub(super) fn releases(&self) -> Result<String, Refused> {
        let mut folders = self.folders();
        if folders.is_empty() {
            return Ok(String::new());
        }
        // The first expression that fits counts: the longest, as with nginx' own prefixes.
        folders.sort_by_key(|(url, _)| std::cmp::Reverse(url.len()));
        let mut text = String::from("  map $uri $stoa_file {\n");
        for (url, folder) in folders {
            let (expression, file) = (quote::below(&url)?, quote::below_folder(folder)?);
            let _ = writeln!(text, "    {expression} {file};");
        }
        text.push_str("    default \"\";\n  }\n");
        // In front of an application only a name that ends like a file's is looked for in earlier releases: a
        // page costs no look-up more than without them.
        if let Some(otherwise) = self.otherwise() {
            let _ = write!(
                text,
                "  map $uri $stoa_otherwise {{\n    default {otherwise};\n    \"~\\.[0-9A-Za-z]+\\z\" \
                 @stoa_earlier_first;\n  }}\n"
            );
        }
        Ok(text)
    }

    /// URL -> folder, `/` among them where files are looked for first.
    fn folders(&self) -> Vec<(String, Option<&InnerPath>)> {
        let mut folders: Vec<(String, Option<&InnerPath>)> = self
            .spec
            .files
            .iter()
            .map(|(url, folder)| (format!("{}/", url.as_str().trim_end_matches('/')), Some(folder)))
            .collect();
        let php = self.spec.kind == AppKind::Php && self.spec.upstream.is_some();
        if php && !folders.iter().any(|(url, _)| url == "/") {
            folders.push(("/".to_owned(), None));
        }
        folders
    }

    /// Who answers below `/` where there is no such file.
    fn otherwise(&self) -> Option<&'static str> {
        let first = self.spec.files.iter().any(|(url, _)| url.as_str() == "/");
        match (&self.spec.upstream, self.spec.kind) {
            (Some(_), AppKind::Http) if first => Some("@app"),
            (Some(_), AppKind::Php) => Some("/index.php?$query_string"),
            _ => None,
        }
    }

    /// Files of releases before the one that serves: a page that a visitor opened then still finds what belongs
    /// to it. By design the name of a file that was deleted stays served as long as such a release is among
    /// them. Only files, no folders, and nothing that the release that serves would not show either.
    pub(super) fn earlier(&self) -> Result<String, Refused> {
        if self.folders().is_empty() {
            return Ok(String::new());
        }
        let root = quote::path(&self.paths.run())?;
        let mut places = String::new();
        // The last one is the spare of a publishing that is under way.
        for place in 1..=STATIC_ROOTS {
            let link = self.paths.static_root(place);
            let name = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let _ = write!(places, "/{name}/$stoa_file ");
        }
        let hidden = self.hidden();
        let location = |name: &str, last: &str| {
            format!(
                "    location {name} {{\n      root {root};\n{hidden}      try_files {places}{last};\n{FILES}    }}\n"
            )
        };
        let otherwise = self.otherwise();
        let mut text = String::new();
        if otherwise.is_none() || self.spec.files.keys().any(|url| url.as_str() != "/") {
            text.push_str(&location("@stoa_earlier", "=404"));
        }
        if let Some(otherwise) = otherwise {
            text.push_str(&location("@stoa_earlier_first", otherwise));
        }
        Ok(text)
    }
}
