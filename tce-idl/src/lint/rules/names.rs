//! Rules about names: their case, names that look alike, keywords.

use std::collections::{HashMap, HashSet};

use heck::{ToLowerCamelCase, ToSnakeCase, ToUpperCamelCase};

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, LintContext, Rule};
use crate::model::{Element, InterfaceId, Model};
use crate::source::Span;
use crate::symbols::SymbolKind;

/// A naming convention.
struct CaseStyle {
    /// Its name.
    title: &'static str,
    holds: fn(&str) -> bool,
    /// Converts a name to this convention.
    spell: fn(&str) -> String,
}

const UPPER_CAMEL: CaseStyle = CaseStyle {
    title: "UpperCamelCase",
    holds: |name| name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_'),
    spell: |name| name.to_upper_camel_case(),
};

const LOWER: CaseStyle = CaseStyle {
    title: "lower case",
    holds: |name| !name.contains(|c: char| c.is_ascii_uppercase()) && has_single_underscores(name),
    spell: |name| name.to_snake_case(),
};

const CAMEL_OR_SNAKE: CaseStyle = CaseStyle {
    title: "lowerCamelCase or snake_case",
    holds: |name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && has_single_underscores(name)
            && !(name.contains('_') && name.contains(|c: char| c.is_ascii_uppercase()))
    },
    spell: |name| {
        if name.trim_matches('_').contains('_') || !name.contains(|c: char| c.is_ascii_lowercase())
        {
            name.to_snake_case()
        } else {
            name.to_lower_camel_case()
        }
    },
};

/// Reports each name of these kinds that does not follow the convention.
fn check_case(
    code: Code,
    case: &CaseStyle,
    kinds: &[SymbolKind],
    context: &LintContext<'_>,
    found: &mut Findings<'_>,
) {
    for (kind, name) in context.names() {
        if !kinds.contains(&kind) || (case.holds)(&name.text) {
            continue;
        }
        let message = format!("{} `{}` is not in {}", kind.noun(), name.text, case.title);
        let diagnostic = Diagnostic::new(code, message).at(name.span, "");
        let spelt = (case.spell)(&name.text);
        found.push(if (case.holds)(&spelt) {
            diagnostic.help(format!("rename it to `{spelt}`"))
        } else {
            diagnostic
        });
    }
}

/// Whether every underscore separates two words.
fn has_single_underscores(name: &str) -> bool {
    !name.starts_with('_') && !name.ends_with('_') && !name.contains("__")
}

pub(super) const TYPE_CASE: Rule = Rule {
    code: Code::TypeCase,
    level: Level::Warn,
    why: "Types begin with a capital letter in every target language. A back end that has to change \
          the case generates a different name, which a search for the IDL's name does not find.",
    bad: include_str!("../examples/type_case.bad.idl"),
    good: include_str!("../examples/type_case.good.idl"),
    check: |context, found| {
        check_case(
            Code::TypeCase,
            &UPPER_CAMEL,
            &[
                SymbolKind::Struct,
                SymbolKind::Exception,
                SymbolKind::Enum,
                SymbolKind::Sequence,
                SymbolKind::Dictionary,
                SymbolKind::Interface,
            ],
            context,
            found,
        );
    },
};

pub(super) const MODULE_CASE: Rule = Rule {
    code: Code::ModuleCase,
    level: Level::Warn,
    why: "A module becomes a module, package or namespace, and often a file. On a file system that \
          ignores case, two names that differ only in case are the same file.",
    bad: include_str!("../examples/module_case.bad.idl"),
    good: include_str!("../examples/module_case.good.idl"),
    check: |context, found| {
        check_case(
            Code::ModuleCase,
            &LOWER,
            &[SymbolKind::Module],
            context,
            found,
        );
    },
};

pub(super) const OPERATION_CASE: Rule = Rule {
    code: Code::OperationCase,
    level: Level::Warn,
    why: "Both conventions are common in TCE, so both are accepted. A name that mixes them, or begins \
          with a capital letter, reads like a type, and is converted to a different name in \
          languages with one convention for operations.",
    bad: include_str!("../examples/operation_case.bad.idl"),
    good: include_str!("../examples/operation_case.good.idl"),
    check: |context, found| {
        check_case(
            Code::OperationCase,
            &CAMEL_OR_SNAKE,
            &[SymbolKind::Operation],
            context,
            found,
        );
    },
};

pub(super) const MEMBER_CASE: Rule = Rule {
    code: Code::MemberCase,
    level: Level::Warn,
    why: "As for operations, lowerCamelCase and snake_case are both accepted, but not mixed in one name.",
    bad: include_str!("../examples/member_case.bad.idl"),
    good: include_str!("../examples/member_case.good.idl"),
    check: |context, found| {
        check_case(
            Code::MemberCase,
            &CAMEL_OR_SNAKE,
            &[SymbolKind::Member, SymbolKind::Parameter],
            context,
            found,
        );
    },
};

pub(super) const SIMILAR_NAMES: Rule = Rule {
    code: Code::SimilarNames,
    level: Level::Warn,
    why: "Code generators convert names to the case of the language, and some tools ignore case: \
          names that differ only in case or underscores then collide, and one of them has to be \
          renamed in the generated code. For an interface, this includes inherited operations.",
    bad: include_str!("../examples/similar_names.bad.idl"),
    good: include_str!("../examples/similar_names.good.idl"),
    check: check_similar_names,
};

fn check_similar_names(context: &LintContext<'_>, found: &mut Findings<'_>) {
    let model = &context.program.model;
    let mut scopes = SimilarNames {
        context,
        found,
        reported: HashSet::new(),
    };
    for module in &model.modules {
        let elements = module.elements.iter();
        scopes.check(elements.map(|it| element(model, *it)));
    }
    for it in &model.structs {
        scopes.check(it.members.iter().map(|it| (it.name.as_str(), it.span)));
    }
    for it in &model.exceptions {
        scopes.check(it.members.iter().map(|it| (it.name.as_str(), it.span)));
    }
    for it in &model.enums {
        scopes.check(it.members.iter().map(|it| (it.name.as_str(), it.span)));
    }
    for (id, it) in (0..).map(InterfaceId).zip(&model.interfaces) {
        let mut lineage: Vec<InterfaceId> = model.lineage(id).collect();
        // Base first, so that the derived interface is reported.
        lineage.reverse();
        let operations = lineage
            .into_iter()
            .flat_map(|id| &model.interface(id).operations);
        scopes.check(operations.map(|it| (it.name.as_str(), it.span)));
        for operation in &it.operations {
            let parameters = operation.parameters.iter();
            scopes.check(parameters.map(|it| (it.name.as_str(), it.span)));
        }
    }
}

fn element(model: &Model, element: Element) -> (&str, Span) {
    match element {
        Element::Struct(id) => (&model.struct_(id).name, model.struct_(id).span),
        Element::Exception(id) => (&model.exception(id).name, model.exception(id).span),
        Element::Enum(id) => (&model.enum_(id).name, model.enum_(id).span),
        Element::Constant(id) => (&model.constant(id).name, model.constant(id).span),
        Element::Sequence(id) => (&model.sequence(id).name, model.sequence(id).span),
        Element::Dictionary(id) => (&model.dictionary(id).name, model.dictionary(id).span),
        Element::Interface(id) => (&model.interface(id).name, model.interface(id).span),
    }
}

struct SimilarNames<'c, 'f> {
    context: &'c LintContext<'c>,
    found: &'c mut Findings<'f>,
    /// Names that were reported: an inherited operation is in the scope of every derived interface.
    reported: HashSet<Span>,
}

impl SimilarNames<'_, '_> {
    /// Reports similar names in one scope.
    fn check<'a>(&mut self, names: impl Iterator<Item = (&'a str, Span)>) {
        let mut seen: HashMap<String, (&str, Span)> = HashMap::new();
        for (name, span) in names {
            let key = name.replace('_', "").to_ascii_lowercase();
            let Some((first, there)) = seen.get(&key) else {
                seen.insert(key, (name, span));
                continue;
            };
            if self.context.is_checked(span) && self.reported.insert(span) {
                let message = format!("`{name}` and `{first}` differ only in case or underscores");
                let diagnostic = Diagnostic::new(Code::SimilarNames, message).at(span, "");
                let diagnostic = diagnostic.note(*there, format!("`{first}` is declared here"));
                self.found.push(diagnostic.help("rename one of them"));
            }
        }
    }
}

pub(super) const KEYWORD_NAME: Rule = Rule {
    code: Code::KeywordName,
    level: Level::Warn,
    why: "Generated code can't use a keyword as a name. A back end has to change it, in each language \
          in another way; legacy compilers generate code that does not compile. `languages` in \
          the [lint] section of tce.toml selects the languages to check; the default is all.",
    bad: include_str!("../examples/keyword_name.bad.idl"),
    good: include_str!("../examples/keyword_name.good.idl"),
    check: check_keyword_name,
};

fn check_keyword_name(context: &LintContext<'_>, found: &mut Findings<'_>) {
    for (kind, name) in context.names() {
        let languages = context.languages.iter();
        let titles: Vec<&str> = languages
            .filter(|language| language.has_keyword(&name.text))
            .map(|language| language.title())
            .collect();
        let languages = match titles.as_slice() {
            [] => continue,
            [one] => (*one).to_owned(),
            [several @ .., last] => format!("{} and {last}", several.join(", ")),
        };
        let message = format!(
            "{} `{}` is a keyword in {languages}",
            kind.noun(),
            name.text
        );
        let diagnostic = Diagnostic::new(Code::KeywordName, message).at(name.span, "");
        found.push(diagnostic.help("rename it, since generated code can't use this name"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_converted_to_a_convention() {
        let spelt = |case: &CaseStyle, name| (case.spell)(name);
        for (name, wanted) in [
            ("pet", "Pet"),
            ("pet_list", "PetList"),
            ("PET_LIST", "PetList"),
        ] {
            assert_eq!(spelt(&UPPER_CAMEL, name), wanted);
        }
        for (name, wanted) in [("PetShop", "pet_shop"), ("_a__b", "a_b"), ("ABC", "abc")] {
            assert_eq!(spelt(&LOWER, name), wanted);
        }
        for (name, wanted) in [
            ("OnMessage", "onMessage"),
            ("ID", "id"),
            ("MAX_SIZE", "max_size"),
            ("user_Name", "user_name"),
            ("HTTPPort", "httpPort"),
            ("X", "x"),
            ("_x", "x"),
        ] {
            assert_eq!(spelt(&CAMEL_OR_SNAKE, name), wanted);
        }
    }

    #[test]
    fn names_that_tce_uses_are_accepted() {
        for name in ["ITerminal", "BaseServer", "Bytes", "X", "URL"] {
            assert!((UPPER_CAMEL.holds)(name), "{name}");
        }
        for name in ["onMessage", "user_id", "b", "x2", "i18n"] {
            assert!((CAMEL_OR_SNAKE.holds)(name), "{name}");
        }
    }
}
