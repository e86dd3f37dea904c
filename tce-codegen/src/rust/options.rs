//! What a user chooses about generated Rust.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::Parser;

use super::LANGUAGE;
use crate::Error;

/// The crate that generated code calls, unless it is set.
const RUNTIME: &str = "tce_runtime";

/// The options of the back end for Rust.
///
/// ```
/// use tce_codegen::{MapType, RustOptions};
///
/// let options = RustOptions::default()
///     .runtime("my_tce")
///     .map_type(MapType::HashMap)
///     .type_attribute(".", "#[derive(serde::Serialize)]")
///     .field_attribute("Pet.name", "#[serde(rename = \"pet\")]");
/// # let _ = options;
/// ```
///
/// # Paths
/// Attributes are for structs and their members. A path names them as the IDL
/// spells them, with dots, and matches as in `prost-build`:
///
/// | path | matches |
/// | --- | --- |
/// | `.` | everything |
/// | `.zoo` | everything in module `zoo`: a leading dot matches from the start |
/// | `.zoo.Pet` | the struct `Pet` of `zoo`; of members, all of its |
/// | `Pet` | every struct called `Pet`: without the dot, the end matches |
/// | `Pet.name` | the member `name` of every `Pet` |
///
/// Where several paths match, all their attributes are written, in the order in
/// which they were added. A path that matches nothing is no error.
#[derive(Debug, Clone, Default)]
pub struct RustOptions {
    runtime: Option<String>,
    map_type: MapType,
    without_clients: bool,
    has_multi_calls: bool,
    has_tasks: bool,
    type_attributes: Vec<(String, String)>,
    field_attributes: Vec<(String, String)>,
}

/// The type that a `dictionary` of the IDL becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MapType {
    /// `std::collections::BTreeMap`: sorted, so that equal values are equal bytes.
    #[default]
    BTreeMap,
    /// `std::collections::HashMap`: faster to look up in; unsorted, on the wire too.
    HashMap,
}

impl MapType {
    /// Every choice.
    pub const ALL: &'static [Self] = &[Self::BTreeMap, Self::HashMap];

    /// Its name in settings, which is that of the Rust type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BTreeMap => "BTreeMap",
            Self::HashMap => "HashMap",
        }
    }
}

impl RustOptions {
    /// Sets the crate that generated code calls, `tce_runtime` by default: the
    /// name under which a `Cargo.toml` has it, or a path to a re-export of it
    /// (`my_company::tce`, `crate::rpc`).
    #[must_use]
    pub fn runtime(mut self, path: impl Into<String>) -> Self {
        self.runtime = Some(path.into());
        self
    }

    /// Sets the type for dictionaries, [`MapType::BTreeMap`] by default.
    #[must_use]
    pub fn map_type(mut self, map_type: MapType) -> Self {
        self.map_type = map_type;
        self
    }

    /// Sets whether each proxy has a trait (`ServerClient` for `ServerPrx`), for code
    /// that is tested with doubles; true by default.
    #[must_use]
    pub fn clients(mut self, has_clients: bool) -> Self {
        self.without_clients = !has_clients;
        self
    }

    /// Sets whether each interface has a type that calls all programs behind a topic at once
    /// (`ServerMulti` beside `ServerPrx`); false by default.
    #[must_use]
    pub fn multi_calls(mut self, has_multi_calls: bool) -> Self {
        self.has_multi_calls = has_multi_calls;
        self
    }

    /// Sets whether each interface has a client that sends its operations as tasks
    /// (`MathTasks`); false by default. The program needs the crate `tce_tasks`.
    #[must_use]
    pub fn tasks(mut self, has_tasks: bool) -> Self {
        self.has_tasks = has_tasks;
        self
    }

    /// Adds attributes to the structs that match a [path](#paths).
    #[must_use]
    pub fn type_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.type_attributes.push((path.into(), attribute.into()));
        self
    }

    /// Adds attributes to the members of structs that match a [path](#paths).
    #[must_use]
    pub fn field_attribute(
        mut self,
        path: impl Into<String>,
        attribute: impl Into<String>,
    ) -> Self {
        self.field_attributes.push((path.into(), attribute.into()));
        self
    }

    /// Checks the options, as generating code does.
    ///
    /// # Errors
    /// [`Error::Options`] where the runtime is not a path, or an attribute is none.
    pub fn validate(&self) -> Result<(), Error> {
        self.parse().map(drop)
    }

    /// The options as tokens.
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
        Ok(Parsed {
            runtime: runtime(self.runtime.as_deref().unwrap_or(RUNTIME))?,
            map_type: match self.map_type {
                MapType::BTreeMap => quote!(::std::collections::BTreeMap),
                MapType::HashMap => quote!(::std::collections::HashMap),
            },
            has_clients: !self.without_clients,
            has_multi_calls: self.has_multi_calls,
            has_tasks: self.has_tasks,
            types: Attributes::parse("type_attribute", &self.type_attributes)?,
            fields: Attributes::parse("field_attribute", &self.field_attributes)?,
        })
    }
}

/// [`RustOptions`] as they go into code.
pub(super) struct Parsed {
    /// The path of the runtime crate.
    pub(super) runtime: TokenStream,
    /// The path of the map type.
    pub(super) map_type: TokenStream,
    /// Whether each proxy has a trait.
    pub(super) has_clients: bool,
    /// Whether each interface has a type for multi-calls.
    pub(super) has_multi_calls: bool,
    /// Whether each interface has a client of tasks.
    pub(super) has_tasks: bool,
    /// The attributes of structs.
    pub(super) types: Attributes,
    /// The attributes of members.
    pub(super) fields: Attributes,
}

fn runtime(path: &str) -> Result<TokenStream, Error> {
    let parsed = syn::Path::parse_mod_style
        .parse_str(path)
        .map_err(|why| invalid(format!("`{path}` is not the path of a crate: {why}")))?;
    let is_absolute = parsed.leading_colon.is_some() || path.starts_with("crate");
    Ok(if is_absolute {
        quote!(#parsed)
    } else {
        quote!(::#parsed)
    })
}

/// Attributes by the paths of what they are for.
pub(super) struct Attributes(Vec<(String, TokenStream)>);

impl Attributes {
    fn parse(option: &str, rules: &[(String, String)]) -> Result<Self, Error> {
        rules
            .iter()
            .map(|(path, text)| {
                let parsed = syn::Attribute::parse_outer.parse_str(text).map_err(|why| {
                    invalid(format!(
                        "`{option}` of `{path}`: `{text}` is not an attribute: {why}"
                    ))
                })?;
                let tokens = parsed.iter().map(ToTokens::to_token_stream).collect();
                Ok((path.clone(), tokens))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// All attributes for an element, whose path (`zoo.Pet.name`) is whole.
    pub(super) fn of(&self, element: &str) -> TokenStream {
        let rules = self.0.iter().filter(|(path, _)| matches(path, element));
        rules.map(|(_, attributes)| attributes.clone()).collect()
    }
}

fn matches(path: &str, element: &str) -> bool {
    match path.strip_prefix('.') {
        Some("") => true,
        Some(start) => element
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        None => element
            .strip_suffix(path)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

fn invalid(message: String) -> Error {
    Error::Options {
        language: LANGUAGE.name(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_whole_names_from_the_start_or_the_end() {
        for (path, element, expected) in [
            (".", "zoo.Pet", true),
            (".zoo", "zoo.Pet", true),
            (".zoo.Pet", "zoo.Pet", true),
            (".zoo.Pet", "zoo.Pet.name", true),
            (".zoo.Pe", "zoo.Pet", false),
            (".Pet", "zoo.Pet", false),
            ("Pet", "zoo.Pet", true),
            ("et", "zoo.Pet", false),
            ("zoo", "zoo.Pet", false),
            ("Pet.name", "zoo.Pet.name", true),
            ("name", "zoo.Pet.name", true),
        ] {
            assert_eq!(matches(path, element), expected, "{path} {element}");
        }
    }

    #[test]
    fn a_wrong_option_is_an_error_that_quotes_it() {
        let wrong = [
            RustOptions::default().type_attribute("Pet", "derive(Eq)"),
            RustOptions::default().field_attribute("Pet.name", "#[serde("),
            RustOptions::default().runtime("my tce"),
        ];
        for (options, part) in wrong.iter().zip(["derive(Eq)", "#[serde(", "my tce"]) {
            let error = options.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
