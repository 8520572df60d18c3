//! Fills `$NAME` and `${NAME}` in from the environment. No shell, no other meaning of `$`.

/// `word` with every variable filled in; the name of the first one that `value` does not know.
pub(crate) fn expand<'v>(word: &str, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    let mut filled = String::with_capacity(word.len());
    for piece in pieces(word) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable { name, .. } => filled.push_str(value(name).ok_or_else(|| name.to_owned())?),
        }
    }
    Ok(filled)
}

/// `text` with the variables that `value` knows filled in, everything else as it is written.
pub(crate) fn expand_known<'v>(text: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Variable { name, written } => value(name).unwrap_or(written),
        })
        .collect()
}

/// The variables in `word`.
pub(crate) fn variables(word: &str) -> impl Iterator<Item = &str> {
    pieces(word).filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Variable { name, .. } => Some(name),
    })
}

enum Piece<'w> {
    Text(&'w str),
    Variable { name: &'w str, written: &'w str },
}

fn pieces(word: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = match variable(rest) {
            Some(found) => found,
            // A `$` that begins no name is text.
            None => {
                let next =
                    rest.char_indices().skip(1).find(|(_, c)| *c == '$').map_or(rest.len(), |(at, _)| at);
                let (text, after) = rest.split_at(next);
                (Piece::Text(text), after)
            }
        };
        rest = after;
        Some(piece)
    })
}

/// The variable that `rest` begins with, and what follows it.
fn variable(rest: &str) -> Option<(Piece<'_>, &str)> {
    let name = rest.strip_prefix('$')?;
    let (name, braces) = match name.strip_prefix('{') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let (name, after) = name.split_at(end);
    let after = if braces { after.strip_prefix('}')? } else { after };
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let written = rest.get(..rest.len() - after.len())?;
    good.then_some((Piece::Variable { name, written }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<&'static str> {
        match name {
            "HOST" => Some("127.0.0.1"),
            "PORT" => Some("8000"),
            "A_1" => Some("$PORT"),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in_once_and_nothing_else_has_a_meaning() {
        for (word, filled) in [
            ("--bind=$HOST:$PORT", "--bind=127.0.0.1:8000"),
            ("${HOST}x${PORT}", "127.0.0.1x8000"),
            ("$A_1", "$PORT"),
            ("a$", "a$"),
            ("$(id) `id` $1 ${ ${HOST", "$(id) `id` $1 ${ ${HOST"),
            ("$$PORT", "$8000"),
            ("ü$PORTü", "ü8000ü"),
            ("", ""),
        ] {
            assert_eq!(expand(word, value).unwrap(), filled, "{word}");
        }
        assert_eq!(expand("$HOST $NOBODY", value).unwrap_err(), "NOBODY");
        assert_eq!(expand_known("pa$word $HOST ${X}", value), "pa$word 127.0.0.1 ${X}");
        assert_eq!(variables("a$X-${Y}$").collect::<Vec<_>>(), ["X", "Y"]);
    }
}
