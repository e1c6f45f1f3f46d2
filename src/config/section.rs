//! Reads TOML sections over their defaults, and collects every mistake on the way.
//!
//! A key that is asked for is known; what nobody asked for is unknown. Never here: what a
//! particular setting means.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::kind::Kind;
use super::nearest::nearest;
use super::{EXAMPLE, Mistake};

/// The text being read, and what was found wrong with it.
struct Document<'t> {
    text: &'t str,
    directory: &'t Path,
    credentials: Option<&'t Path>,
    mistakes: Vec<Mistake>,
}

/// One section of the text. Every getter answers None only after noting a mistake.
pub(super) struct Section<'s, 't> {
    document: &'s mut Document<'t>,
    name: String,
    /// Where it begins; None where it is not in the text, and for the top.
    at: Option<usize>,
    given: Option<&'s DeTable<'s>>,
    defaults: Option<&'s DeTable<'s>>,
    known: BTreeSet<String>,
}

#[derive(Clone, Copy)]
struct Found<'s> {
    value: &'s DeValue<'s>,
    /// Where it begins; None for a default.
    at: Option<usize>,
}

/// Reads `text` by `read`, from the top section down.
pub(super) fn read<T>(
    text: &str,
    directory: &Path,
    credentials: Option<&Path>,
    read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
) -> Result<T, Vec<Mistake>> {
    let mut document = Document {
        text,
        directory,
        credentials,
        mistakes: Vec::new(),
    };
    let (given, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // The error's Display quotes the line, and the line may hold a secret.
        let at = error.span().map(|span| span.start);
        // Nor may anything be named but a key that was given twice.
        let named = error
            .span()
            .and_then(|span| text.get(span))
            .unwrap_or_default();
        let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let is_twice = error.message() == "duplicate key" && named.chars().all(is_key);
        let key = if is_twice { named } else { "" };
        document.note(at, key.to_owned(), error.message().to_owned());
    }
    if !errors.is_empty() {
        return Err(document.mistakes);
    }
    let defaults = defaults(EXAMPLE);
    let defaults = DeTable::parse(&defaults).expect("the defaults are TOML: a test reads them");
    let mut top = Section {
        document: &mut document,
        name: String::new(),
        at: None,
        given: Some(given.get_ref()),
        defaults: Some(defaults.get_ref()),
        known: BTreeSet::new(),
    };
    let settings = read(&mut top);
    top.finish();
    document.mistakes.sort_by_key(|mistake| mistake.line);
    match settings {
        Some(settings) if document.mistakes.is_empty() => Ok(settings),
        _ => Err(document.mistakes),
    }
}

/// The section headers of the example and its `#key = value` lines, without the `#`.
fn defaults(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => {
            format!("{setting}\n")
        }
        None if line.starts_with('[') => format!("{line}\n"),
        _ => String::new(),
    };
    example.lines().map(line).collect()
}

impl Document<'_> {
    fn note(&mut self, at: Option<usize>, key: String, what: String) {
        let line = at.map(|at| {
            let before = &self.text.as_bytes()[..at.min(self.text.len())];
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        });
        self.mistakes.push(Mistake { line, key, what });
    }
}

impl<'s, 't> Section<'s, 't> {
    /// A text that must be set, here or by a default.
    pub fn text<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<T> {
        match self.if_given(key, kind)? {
            Some(value) => Some(value),
            None => self.missing(key, kind.expected),
        }
    }

    /// A text whose default may be empty, which is `Some(None)`; but a default it must have, so
    /// that the example shows it.
    pub fn optional<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<Option<T>> {
        match self.find(key) {
            Some(_) => self.if_given(key, kind),
            None => self.missing(key, kind.expected),
        }
    }

    /// A text that may be in neither layer. Nothing, and an empty text, are `Some(None)`.
    pub fn if_given<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<Option<T>> {
        let Some(found) = self.find(key) else {
            return Some(None);
        };
        if found.value.as_str() == Some("") {
            return Some(None);
        }
        self.item(key, kind, found).map(Some)
    }

    /// One text, or a list of them; none where it is in neither layer, or empty.
    pub fn one_or_more<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<Vec<T>> {
        match self.find(key).is_some_and(|found| found.value.is_array()) {
            true => self.list(key, kind),
            false => self.if_given(key, kind).map(Vec::from_iter),
        }
    }

    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.text(key, &Kind::PATH)?;
        Some(self.directory().join(path))
    }

    pub fn list<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<Vec<T>> {
        let expected = format!("a list, each {}", kind.expected);
        let Some(found) = self.find(key) else {
            return self.missing(key, &expected);
        };
        let items = found.value.as_array();
        let items = self.or_mistake(items, key, found, &expected)?;
        let values: Vec<Option<T>> = items
            .iter()
            .map(|item| {
                let found = Found {
                    value: item.get_ref(),
                    at: found.at.and(Some(item.span().start)),
                };
                self.item(key, kind, found)
            })
            .collect();
        values.into_iter().collect()
    }

    fn item<T>(&mut self, key: &str, kind: &Kind<T>, found: Found<'_>) -> Option<T> {
        let value = found.value.as_str().and_then(kind.parse);
        if value.is_none() {
            let shown = match kind.shown {
                true => describe(found.value),
                false => "something else (not shown)".to_owned(),
            };
            let what = format!("found {shown}, expected {}", kind.expected);
            self.note::<()>(found.at.or(self.at), key, what);
        }
        value
    }

    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let expected = "true or false";
        let Some(found) = self.find(key) else {
            return self.missing(key, expected);
        };
        self.or_mistake(found.value.as_bool(), key, found, expected)
    }

    pub fn count(&mut self, key: &str, within: RangeInclusive<usize>) -> Option<usize> {
        let expected = format!("a whole number from {} to {}", within.start(), within.end());
        let Some(found) = self.find(key) else {
            return self.missing(key, &expected);
        };
        let count = found.value.as_integer().and_then(|number| {
            let count = usize::from_str_radix(number.as_str(), number.radix()).ok()?;
            within.contains(&count).then_some(count)
        });
        self.or_mistake(count, key, found, &expected)
    }

    /// Reads the section `[key]`; one that is not in the text has its defaults.
    pub fn section<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Section<'_, 't>) -> Option<T>,
    ) -> Option<T> {
        let Some(found) = self.find(key) else {
            return self.missing(key, &format!("a section [{key}]"));
        };
        let table = found.value.as_table();
        let table = self.or_mistake(table, key, found, &format!("a section [{key}]"))?;
        let given = found.at.and(Some(table));
        self.enter(key.to_owned(), found.at, given, key, read)
    }

    /// Reads every section `[[key]]`, at least one.
    pub fn sections<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Section<'_, 't>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let expected = format!("at least one section [[{key}]], in double brackets");
        let Some(found) = self.find(key).filter(|found| found.at.is_some()) else {
            return self.missing(key, &expected);
        };
        let items = found.value.as_array().filter(|items| {
            !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
        });
        let items = self.or_mistake(items, key, found, &expected)?;
        let values: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let name = format!("{key}[#{}]", place + 1);
                let given = item.get_ref().as_table();
                self.enter(name, Some(item.span().start), given, key, &mut read)
            })
            .collect();
        values.into_iter().collect()
    }

    fn enter<T>(
        &mut self,
        name: String,
        at: Option<usize>,
        given: Option<&'s DeTable<'s>>,
        key: &str,
        read: impl FnOnce(&mut Section<'_, 't>) -> Option<T>,
    ) -> Option<T> {
        let defaults = self.defaults.and_then(|defaults| defaults.get(key));
        let defaults = defaults.and_then(|value| match value.get_ref() {
            DeValue::Array(items) => items.first()?.get_ref().as_table(),
            value => value.as_table(),
        });
        let mut section = Section {
            document: &mut *self.document,
            name,
            at,
            given,
            defaults,
            known: BTreeSet::new(),
        };
        let value = read(&mut section);
        section.finish();
        value
    }

    /// What mistakes call this section from now on.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    pub fn directory(&self) -> &'t Path {
        self.document.directory
    }

    pub fn credentials(&self) -> Option<&'t Path> {
        self.document.credentials
    }

    /// Notes what is wrong with the value of `key`.
    pub fn mistake<T>(&mut self, key: &str, what: impl Into<String>) -> Option<T> {
        let at = self.at(key).or(self.at);
        self.note(at, key, what.into())
    }

    pub fn missing<T>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.mistake(key, format!("missing, expected {expected}"))
    }

    /// Takes `keys` as known, and answers those that are given.
    pub fn given<'k>(&mut self, keys: &[&'k str]) -> Vec<&'k str> {
        let known = keys.iter().map(|key| (*key).to_owned());
        self.known.extend(known);
        let given = keys.iter().filter(|key| self.at(key).is_some());
        given.copied().collect()
    }

    fn note<T>(&mut self, at: Option<usize>, key: &str, what: String) -> Option<T> {
        let path = match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        };
        self.document.note(at, path, what);
        None
    }

    fn or_mistake<T>(
        &mut self,
        value: Option<T>,
        key: &str,
        found: Found<'_>,
        expected: &str,
    ) -> Option<T> {
        if value.is_none() {
            let what = format!("found {}, expected {expected}", describe(found.value));
            self.note::<()>(found.at, key, what);
        }
        value
    }

    fn at(&self, key: &str) -> Option<usize> {
        let (key, _) = self.given?.get_key_value(key)?;
        Some(key.span().start)
    }

    fn find(&mut self, key: &str) -> Option<Found<'s>> {
        self.known.insert(key.to_owned());
        let given = self.given.and_then(|given| given.get_key_value(key));
        let default = self.defaults.and_then(|defaults| defaults.get(key));
        match (given, default) {
            (Some((key, value)), _) => Some(Found {
                value: value.get_ref(),
                at: Some(key.span().start),
            }),
            (None, Some(value)) => Some(Found {
                value: value.get_ref(),
                at: None,
            }),
            (None, None) => None,
        }
    }

    fn finish(&mut self) {
        for (key, _) in self.given.into_iter().flatten() {
            let unknown = key.get_ref().as_ref();
            if self.known.contains(unknown) {
                continue;
            }
            let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
            let what = match nearest(&known, unknown) {
                Some(nearest) => format!("unknown key, did you mean `{nearest}`?"),
                None => format!("unknown key, expected one of {}", known.join(", ")),
            };
            self.note::<()>(Some(key.span().start), unknown, what);
        }
    }
}

/// What stands in the text, short, and without what may be a password.
fn describe(value: &DeValue<'_>) -> String {
    const SHOWN_MAX_CHARS: usize = 80;
    match value {
        DeValue::String(text) if text.contains('@') => {
            "a text with @ (not shown, it may hold a password)".to_owned()
        }
        DeValue::String(text) => {
            let shown: String = text.chars().take(SHOWN_MAX_CHARS).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            format!("{shown:?}{more}")
        }
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}
