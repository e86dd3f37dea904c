//! Names in generated code, for any language: case conversion and clashes.
//!
//! Names are claimed in declared order, and the later of two equal ones gets a
//! trailing underscore: appending to an IDL renames nothing that was there.

use std::collections::HashSet;

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};

/// `getName` as `get_name`.
pub(crate) fn snake(name: &str) -> String {
    startable(name.to_snake_case(), 'n')
}

/// `getName` as `GET_NAME`.
pub(crate) fn shouty_snake(name: &str) -> String {
    startable(name.to_shouty_snake_case(), 'N')
}

/// `getName` as `GetName`.
pub(crate) fn upper_camel(name: &str) -> String {
    startable(name.to_upper_camel_case(), 'N')
}

/// Puts a letter before a name that case conversion leaves without one: it
/// drops the underscores of `_1` and `_`.
fn startable(name: String, first: char) -> String {
    if name.starts_with(char::is_alphabetic) {
        name
    } else {
        format!("{first}{name}")
    }
}

/// A namespace of generated code, in which names must differ.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(HashSet<String>);

impl Scope {
    /// A scope in which `reserved` names are taken.
    pub(crate) fn new<'a>(reserved: impl IntoIterator<Item = &'a str>) -> Self {
        Self(reserved.into_iter().map(str::to_owned).collect())
    }

    /// Takes a name that generated code uses itself.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }

    /// Takes a name, with as many trailing underscores as make it unique.
    pub(crate) fn claim(&mut self, mut name: String) -> String {
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}
