//! Takes keys out of the tables of a parsed file with typed readers, gathers what is wrong and reports
//! what nobody asked for. It knows TOML, not websites: which keys exist is said by `sections`.

use super::{ConfigError, Refusal, refuse};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A value with its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// The file while it is read.
pub(super) struct Reader<'t> {
    text: &'t str,
    root: &'t DeTable<'t>,
    head: Option<Range<usize>>,
    sections: Vec<&'static str>,
    keys: Vec<String>,
    errors: Vec<ConfigError>,
}

/// One `[table]` of the file while it is read. What is left in it when it is dropped is an error.
pub(super) struct Section<'r, 't> {
    reader: &'r mut Reader<'t>,
    name: &'static str,
    header: Range<usize>,
    table: Option<&'t DeTable<'t>>,
    asked: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// What is missing is reported at `head`, or at the head of its table where there is none.
    pub(super) fn new(text: &'t str, root: &'t DeTable<'t>, head: Option<Range<usize>>) -> Self {
        Reader { text, root, head, sections: Vec::new(), keys: Vec::new(), errors: Vec::new() }
    }

    /// Takes the table `name` for read.
    pub(super) fn passes_over(&mut self, name: &'static str) {
        self.sections.push(name);
    }

    /// Whether the file has the table `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.get(name).is_some()
    }

    /// The table `name`; it reads as empty where the file has none.
    pub(super) fn section<'r>(&'r mut self, name: &'static str) -> Section<'r, 't> {
        self.sections.push(name);
        self.open(name, self.root.get_key_value(name))
    }

    fn open<'r>(
        &'r mut self,
        name: &'static str,
        entry: Option<(&'t Spanned<DeString<'t>>, &'t Value<'t>)>,
    ) -> Section<'r, 't> {
        let header = entry.map_or(0..0, |(key, _)| key.span());
        let table = entry.and_then(|(key, value)| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.errors.push(ConfigError::new(self.text, name, key.span(), not_a_table(name, other)));
                None
            }
        });
        let header = self.head.clone().unwrap_or(header);
        Section { reader: self, name, header, table, asked: Vec::new() }
    }

    /// The mistakes and every key that was asked for.
    pub(super) fn finish(mut self) -> (Vec<ConfigError>, Vec<String>) {
        for key in self.root.keys().filter(|key| !self.sections.contains(&key.get_ref().as_ref())) {
            let tables = self.sections.iter().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(", ");
            let reason = format!("there is no [{}]", key.get_ref());
            let fix = match nearest(key.get_ref(), &self.sections) {
                Some(name) => format!("did you mean [{name}]?"),
                None => format!("the tables are {tables}"),
            };
            let error = ConfigError::new(self.text, key.get_ref().as_ref(), key.span(), refuse(reason, fix));
            self.errors.push(error);
        }
        (self.errors, self.keys)
    }
}

impl<'t> Section<'_, 't> {
    /// The value of `key` as `read` makes it; `None` where it is absent or refused.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'t DeValue<'t>) -> Result<T, Refusal>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let result = read(value.get_ref());
        self.accept(key, value.span(), result)
    }

    /// As [`Section::read`]; where the key is absent, `usual` or why it must be there.
    pub(super) fn read_or<T>(
        &mut self,
        key: &'static str,
        usual: Result<T, Refusal>,
        read: impl FnOnce(&'t DeValue<'t>) -> Result<T, Refusal>,
    ) -> Option<T> {
        if self.value(key).is_some() {
            return self.read(key, read);
        }
        usual.map_err(|missing| self.complain(key, missing)).ok()
    }

    /// The table `key` of this one, called `name` in full.
    pub(super) fn section<'s>(&'s mut self, key: &'static str, name: &'static str) -> Section<'s, 't> {
        self.asked.push(key);
        self.reader.open(name, self.table.and_then(|table| table.get_key_value(key)))
    }

    /// The least and the most of `key`: one number, or `{ min = 2, max = 8 }`.
    pub(super) fn bounds(&mut self, key: &'static str, range: RangeInclusive<u16>) -> Option<(u16, u16)> {
        let value = self.value(key)?;
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            other => {
                let number = count(other, range).map_err(|mut refusal| {
                    if !matches!(other, DeValue::Integer(_)) {
                        refusal.fix.push_str(", or { min = 2, max = 8 }");
                    }
                    refusal
                });
                return self.accept(key, value.span(), number.map(|number| (number, number)));
            }
        };
        for (name, _) in table.iter().filter(|(name, _)| !matches!(name.get_ref().as_ref(), "min" | "max")) {
            let refusal = refuse(format!("a range has no `{}`", name.get_ref()), "it has min and max");
            self.accept::<()>(key, name.span(), Err(refusal));
        }
        let mut side = |name: &str| match table.get(name) {
            Some(number) => {
                let key = format!("{key}.{name}");
                self.accept(&key, number.span(), count(number.get_ref(), range.clone()))
            }
            None => {
                let fix = "write both, such as { min = 2, max = 8 }, or one number";
                self.accept(key, value.span(), Err(refuse(format!("the range has no {name}"), fix)))
            }
        };
        let (min, max) = (side("min"), side("max"));
        let (min, max) = (min?, max?);
        if min <= max {
            return Some((min, max));
        }
        let fix = format!("write max = {min} or more, or a smaller min");
        let place = table.get("max").unwrap_or(value).span();
        self.accept(&format!("{key}.max"), place, Err(refuse(format!("it is below min = {min}"), fix)))
    }

    /// The array `key`, each element with its place as `read` makes it; refused elements are left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'t DeValue<'t>) -> Result<T, Refusal>,
    ) -> Option<Vec<Spanned<T>>> {
        let items = self.read(key, |value| match value {
            DeValue::Array(items) => Ok(items),
            other => {
                let fix = format!("write it in brackets: {key} = [\"…\"]");
                Err(refuse(format!("expected a list, found {}", kind(other)), fix))
            }
        })?;
        let read = |item: &'t Value<'t>| {
            let value = self.accept(key, item.span(), read(item.get_ref()))?;
            Some(Spanned::new(item.span(), value))
        };
        Some(items.iter().filter_map(read).collect())
    }

    /// The table `key`, names and values as `read` makes them; refused entries are left out.
    pub(super) fn map<K: Ord, V>(
        &mut self,
        key: &'static str,
        read_name: impl Fn(&str) -> Result<K, Refusal>,
        read: impl Fn(&'t DeValue<'t>) -> Result<V, Refusal>,
    ) -> Option<BTreeMap<K, V>> {
        let entries = self.read(key, |value| match value {
            DeValue::Table(entries) => Ok(entries),
            other => {
                let fix = format!("write it in braces: {key} = {{ \"…\" = \"…\" }}");
                Err(refuse(format!("expected a table, found {}", kind(other)), fix))
            }
        })?;
        let mut map = BTreeMap::new();
        for (name, value) in entries {
            let name = self.accept(key, name.span(), read_name(name.get_ref()));
            let value = self.accept(key, value.span(), read(value.get_ref()));
            if let (Some(name), Some(value)) = (name, value) {
                map.insert(name, value);
            }
        }
        Some(map)
    }

    /// Reports `refusal` about `key`: at its value, or at the table's head where it is absent.
    pub(super) fn complain(&mut self, key: &'static str, refusal: Refusal) {
        let written = self.value(key).map(Spanned::span);
        let place = written.clone().unwrap_or(self.header.clone());
        let mut error = ConfigError::new(self.reader.text, format!("{}.{key}", self.name), place, refusal);
        if written.is_none() {
            error.value.clear();
        }
        self.reader.errors.push(error);
    }

    /// Reports `refusal` about the part of `key` that stands at `place`.
    pub(super) fn complain_at(&mut self, key: &'static str, place: Range<usize>, refusal: Refusal) {
        self.accept::<()>(key, place, Err(refusal));
    }

    /// Whether `key` is there.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            self.reader.keys.push(format!("{}.{key}", self.name));
        }
        self.table?.get(key)
    }

    fn accept<T>(&mut self, key: &str, span: Range<usize>, result: Result<T, Refusal>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(refusal) => {
                let key = format!("{}.{key}", self.name);
                self.reader.errors.push(ConfigError::new(self.reader.text, key, span, refusal));
                None
            }
        }
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let fix = match nearest(name, &self.asked) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("its keys are {}", self.asked.join(", ")),
            };
            let refusal = refuse(format!("[{}] has no key `{name}`", self.name), fix);
            let path = format!("{}.{name}", self.name);
            self.reader.errors.push(ConfigError::new(self.reader.text, path, key.span(), refusal));
        }
    }
}

/// The text of `value`.
pub(super) fn text<'t>(value: &'t DeValue<'t>) -> Result<&'t str, Refusal> {
    match value {
        DeValue::String(text) => Ok(text),
        other => Err(refuse(format!("expected a text, found {}", kind(other)), "put it in quotes")),
    }
}

/// The text of `value` that has a number and a unit, such as `example`.
pub(super) fn measure<'t>(value: &'t DeValue<'t>, example: &str) -> Result<&'t str, Refusal> {
    match value {
        DeValue::Integer(_) | DeValue::Float(_) => Err(refuse(
            "it has no unit",
            format!("write it in quotes and with its unit, such as \"{example}\""),
        )),
        other => text(other),
    }
}

/// `value` as a whole number of `range`.
pub(super) fn count<T>(value: &DeValue<'_>, range: RangeInclusive<T>) -> Result<T, Refusal>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    let (low, high) = (range.start(), range.end());
    let fix = format!("write a number from {low} to {high}");
    match value {
        DeValue::Integer(number) => {
            let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let inside = parsed.and_then(|n| T::try_from(n).ok()).filter(|n| range.contains(n));
            inside.ok_or_else(|| refuse(format!("{number} is not from {low} to {high}"), fix))
        }
        DeValue::String(_) => {
            Err(refuse("expected a whole number, found a text", format!("{fix}, without quotes")))
        }
        other => Err(refuse(format!("expected a whole number, found {}", kind(other)), fix)),
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| refuse("it is neither true nor false", "write true or false"))
}

/// One of the words of `choices`.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&'static str, T)]) -> Result<T, Refusal> {
    let word = text(value)?;
    if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == word) {
        return Ok(*chosen);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let fix = match nearest(word, &names) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("write \"{}\"", names.join("\" or \"")),
    };
    Err(refuse("it is none of the known words", fix))
}

/// The one of `known` that `written` was probably meant to be.
pub(super) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    // A very long name is no typing mistake, and the distance takes the product of both lengths.
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, name);
    let best = known.iter().copied().min_by_key(|name| distance(name))?;
    let typed_part = lower.len() >= 3 && (best.starts_with(&lower) || lower.starts_with(best));
    (typed_part || distance(best) <= best.len().max(3) / 3).then_some(best)
}

/// Why `value` is refused as the table `name`.
pub(super) fn not_a_table(name: &str, value: &DeValue<'_>) -> Refusal {
    let reason = format!("`{name}` is a table, not {}", kind(value));
    refuse(reason, format!("write [{name}] on a line of its own, its keys below it"))
}

/// What kind of value it is, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
