//! [`IgnoredFields`]: the fields of request bodies that are not part of the key.

use smallvec::SmallVec;

/// Names of fields, and JSON pointers (RFC 6901).
#[derive(Clone, Debug, Default)]
pub(crate) struct IgnoredFields {
    names: Vec<Box<str>>,
    pointers: Vec<Pointer>,
}

/// The names and positions on the way from the root of a JSON document to a value.
type Pointer = Vec<Box<str>>;

/// The pointers that lead into a value, by their position in [`IgnoredFields`].
pub(super) type Leading = SmallVec<[usize; 2]>;

impl IgnoredFields {
    /// Adds a pointer (`/auth/token`) or a name. The error says what is wrong with it.
    pub(crate) fn add(&mut self, field: &str) -> Result<(), &'static str> {
        if field.is_empty() {
            return Err("is empty; write a name such as \"password\", or a JSON pointer such as \
                        \"/auth/token\"");
        }
        let Some(path) = field.strip_prefix('/') else {
            if field.contains('/') {
                return Err("does not begin with \"/\"; write a JSON pointer such as \
                            \"/auth/token\", or a name without a slash");
            }
            self.names.push(field.into());
            return Ok(());
        };
        let pointer: Option<Pointer> = path.split('/').map(unescaped).collect();
        self.pointers.push(pointer.ok_or(
            "is not a JSON pointer; in a name, write \"~0\" for \"~\" and \"~1\" for \"/\"",
        )?);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.pointers.is_empty()
    }

    /// Whether fields of this name are ignored, whatever the case of ASCII letters.
    pub(super) fn has_name(&self, name: &[u8]) -> bool {
        self.position(name).is_some()
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|ignored| ignored.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether any field is ignored by its name.
    pub(super) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The pointers, all of which lead into the root.
    pub(super) fn at_root(&self) -> Leading {
        (0..self.pointers.len()).collect()
    }

    /// Follows the pointers that lead into a value at `depth` (the root has 0) to the child of this
    /// name. Returns the pointers that lead into the child, and whether one of them ends there.
    pub(super) fn follow(
        &self,
        leading: &Leading,
        depth: usize,
        child: Child<'_>,
    ) -> (Leading, bool) {
        let (mut into_child, mut is_ignored) = (Leading::new(), false);
        for &position in leading {
            let pointer = &self.pointers[position];
            if pointer.get(depth).is_some_and(|name| child.is(name)) {
                into_child.push(position);
                is_ignored |= pointer.len() == depth + 1;
            }
        }
        (into_child, is_ignored)
    }
}

/// The fields of a form that are left out, by their names.
///
/// A field that occurs twice is not left out, since servers read different ones of the two. A
/// sender could also fill the number of fields that a server reads with ignored ones, so that it
/// does not see the others.
pub(super) struct LeftOut<'a> {
    ignored: &'a IgnoredFields,
    names: SmallVec<[usize; 4]>,
}

impl<'a> LeftOut<'a> {
    /// Nothing has been left out yet.
    pub(super) fn none(ignored: &'a IgnoredFields) -> Self {
        Self { ignored, names: SmallVec::new() }
    }

    /// Whether this field is ignored. `None` if one of its name has been left out already.
    pub(super) fn has(&mut self, name: &[u8]) -> Option<bool> {
        let Some(position) = self.ignored.position(name) else { return Some(false) };
        if self.names.contains(&position) {
            return None;
        }
        self.names.push(position);
        Some(true)
    }
}

/// A value within an object or array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child<'a> {
    Member(&'a str),
    Element(usize),
}

impl Child<'_> {
    fn is(self, name: &str) -> bool {
        match self {
            Self::Member(own) => own == name,
            // RFC 6901 §4: no leading zeros, no sign.
            Self::Element(index) => {
                let is_canonical =
                    name == "0" || name.starts_with(|c: char| ('1'..='9').contains(&c));
                is_canonical && name.parse() == Ok(index)
            }
        }
    }
}

/// A reference token without its escapes (RFC 6901 §4). `None` if it has an invalid one.
fn unescaped(token: &str) -> Option<Box<str>> {
    let mut pieces = token.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(1)?;
        name.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_names_are_told_apart_by_the_slash() {
        let mut fields = IgnoredFields::default();
        for field in ["/a~1b/~01/", "password", "pass~2word"] {
            fields.add(field).unwrap();
        }
        assert_eq!(fields.pointers, [["a/b", "~1", ""].map(Box::from)]);
        assert_eq!(fields.names, ["password", "pass~2word"].map(Box::from));
        assert!(fields.has_name(b"PassWord") && !fields.has_name(b"pass"));
    }

    #[test]
    fn what_is_neither_a_name_nor_a_pointer_is_refused() {
        for (field, reason) in [
            ("", "is empty"),
            ("a/b", "does not begin with"),
            ("/a~", "is not a JSON pointer"),
            ("/a~2", "is not a JSON pointer"),
            ("/~é", "is not a JSON pointer"),
        ] {
            let error = IgnoredFields::default().add(field).unwrap_err();
            assert!(error.starts_with(reason), "{field}: {error}");
        }
    }

    #[test]
    fn elements_are_named_by_their_position_without_leading_zeros() {
        for (name, index, is_same) in [
            ("0", 0, true),
            ("10", 10, true),
            ("00", 0, false),
            ("01", 1, false),
            ("+1", 1, false),
            ("-", 0, false),
            ("", 0, false),
        ] {
            assert_eq!(Child::Element(index).is(name), is_same, "{name:?}");
        }
    }
}
