//! The rules, one a file.

mod case;
mod duplicate_import;
mod empty_module;
mod forward_reference;
mod implicit_index;
mod keyword_name;
mod lint_comment;
mod member_case;
mod missing_docs;
mod module_case;
mod operation_case;
mod several_modules;
mod similar_names;
mod type_case;
mod unused_type;

use super::Rule;

/// Every rule, by code.
pub(super) const ALL: &[&Rule] = &[
    &lint_comment::RULE,
    &type_case::RULE,
    &module_case::RULE,
    &operation_case::RULE,
    &member_case::RULE,
    &similar_names::RULE,
    &keyword_name::RULE,
    &missing_docs::RULE,
    &implicit_index::RULE,
    &forward_reference::RULE,
    &several_modules::RULE,
    &empty_module::RULE,
    &duplicate_import::RULE,
    &unused_type::RULE,
];
