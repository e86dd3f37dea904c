//! The rules.

mod names;
mod declarations;
mod modules;
mod legacy;

use super::Rule;
use super::allow;

/// Every rule, by code.
pub(super) const ALL: &[&Rule] = &[
    &allow::RULE,
    &names::TYPE_CASE,
    &names::MODULE_CASE,
    &names::OPERATION_CASE,
    &names::MEMBER_CASE,
    &names::SIMILAR_NAMES,
    &names::KEYWORD_NAME,
    &declarations::MISSING_DOCS,
    &declarations::IMPLICIT_INDEX,
    &declarations::FORWARD_REFERENCE,
    &modules::SEVERAL_MODULES,
    &modules::EMPTY_MODULE,
    &modules::DUPLICATE_IMPORT,
    &declarations::UNUSED_TYPE,
    &legacy::LEGACY_SYNTAX,
    &legacy::LEGACY_DECLARATIONS,
];
