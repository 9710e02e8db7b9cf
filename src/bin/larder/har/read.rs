//! Reads an archive, entry by entry. One entry is held in memory at a time, however long the
//! archive is.

use std::{
    fmt,
    io::{self, BufRead},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Extra;

/// An exchange, with what `import` needs of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(default)]
    pub(crate) started_date_time: String,
    /// How long the exchange took, in milliseconds. Browsers write -1 if they do not know.
    #[serde(default)]
    pub(crate) time: Option<f64>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    #[serde(rename = "_larder", default)]
    pub(crate) extra: Option<Extra>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) http_version: String,
    #[serde(default)]
    pub(crate) headers: Vec<Line>,
    #[serde(default)]
    pub(crate) content: Content,
    #[serde(default)]
    pub(crate) body_size: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    #[serde(default)]
    pub(crate) size: Option<f64>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What the reader gives away: an entry, or `None` for something that is none.
pub(crate) type Item = Option<Box<Entry>>;

/// Reads an archive, and gives each entry to `take`, which returns whether it wants more.
///
/// # Errors
///
/// If the input fails or is not an archive. The entries until then have been given away.
pub(crate) fn read(mut input: impl BufRead, mut take: impl FnMut(Item) -> bool) -> io::Result<()> {
    // Some programs write a byte order mark, which JSON does not have.
    if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        input.read_exact(&mut [0; 3])?;
    }
    let mut json = serde_json::Deserializer::from_reader(input);
    let mut found = Found { take: &mut take, has_entries: false };
    let archive =
        Object { name: "log", value: Object { name: "entries", value: Entries(&mut found) } };
    archive.deserialize(&mut json).map_err(without_value)?;
    if !found.has_entries {
        return Err(io::Error::other("there is no log with entries in it"));
    }
    Ok(json.end()?)
}

/// The error without the value that it is about, which may be secret.
fn without_value(error: serde_json::Error) -> io::Error {
    if !error.is_data() {
        return error.into();
    }
    let (line, column) = (error.line(), error.column());
    io::Error::other(format!("it is not a HAR file, at line {line} column {column}"))
}

struct Found<'a> {
    take: &'a mut dyn FnMut(Item) -> bool,
    has_entries: bool,
}

/// An object, of which the value of one name is wanted.
struct Object<V> {
    name: &'static str,
    value: V,
}

impl<'de, V: DeserializeSeed<'de>> DeserializeSeed<'de> for Object<V> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, V: DeserializeSeed<'de>> Visitor<'de> for Object<V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {:?}", self.name)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut value = Some(self.value);
        while let Some(name) = map.next_key::<String>()? {
            match value.take_if(|_| name == self.name) {
                Some(value) => drop(map.next_value_seed(value)?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Entries<'a, 'b>(&'a mut Found<'b>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        self.0.has_entries = true;
        // Each entry is parsed on its own, so that one that is not as it should be does not end the
        // archive. The errors of the parser quote the file, which may have secrets.
        while let Some(text) = list.next_element::<Box<RawValue>>()? {
            if !(self.0.take)(serde_json::from_str(text.get()).ok()) {
                return Err(serde::de::Error::custom("the reader was stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> io::Result<Vec<Option<String>>> {
        let mut urls = Vec::new();
        read(text.as_bytes(), |item| {
            urls.push(item.map(|entry: Box<Entry>| entry.request.url));
            true
        })?;
        Ok(urls)
    }

    #[test]
    fn entries_are_found_among_other_members() {
        let entry = r#"{"request":{"method":"GET","url":"http://a/"},"response":{"status":200}}"#;
        let har = format!(
            "\u{feff}{{\"x\":[1],\"log\":{{\"pages\":[{{\"entries\":[]}}],\
             \"entries\":[{entry},{{\"request\":1}},{entry}],\"y\":null}}}}"
        );
        let urls = urls(&har).unwrap();
        assert_eq!(urls, [Some("http://a/".into()), None, Some("http://a/".into())]);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        for text in ["", "{}", "[]", "<html>", r#"{"log":{}}"#, r#"{"log":{"entries":{}}}"#] {
            assert!(urls(text).is_err(), "{text}");
        }
        let error = urls(r#"{"log":"s3cret"}"#).unwrap_err().to_string();
        assert!(error.starts_with("it is not a HAR file, at line 1 column"), "{error}");
        let cut = r#"{"log":{"entries":[{"request":{"#;
        assert!(urls(cut).is_err());
    }
}
