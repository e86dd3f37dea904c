//! The table of all codes.

use std::fmt;

/// Whether a diagnostic stops the compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The compilation fails: there is no model.
    Error,
    /// The compilation succeeds, but the text may not mean what its author intends.
    Warning,
}

/// Defines [`Code`] from the table, so that every code has a name and an explanation.
macro_rules! codes {
    ($($variant:ident = $id:literal $severity:ident $name:literal: $explanation:literal;)*) => {
        /// A rule that an IDL can break. The meaning of a code never changes, and no code is reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $explanation] $variant,)*
        }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its number, as `TCE0200`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// Its name, as `unknown-type`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its meaning, in one sentence.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// Whether it is an error or a warning.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

codes! {
    UnreadableFile = "TCE0001" Error "unreadable-file": "A file given to the compiler can't be read.";
    ImportNotFound = "TCE0002" Error "import-not-found": "An imported file is neither beside the importing one nor on the include path.";
    NotUtf8 = "TCE0003" Error "not-utf8": "A file is not UTF-8 text.";
    FileTooLarge = "TCE0004" Error "file-too-large": "A file is larger than the compiler accepts.";
    MoreErrors = "TCE0005" Error "more-errors": "There are more errors than one run reports.";
    MoreWarnings = "TCE0006" Warning "more-warnings": "There are more warnings than one run reports.";

    Unexpected = "TCE0100" Error "unexpected": "The syntax is wrong: something else is expected here.";
    MissingSemicolon = "TCE0101" Error "missing-semicolon": "A declaration does not end with `;`.";
    UnclosedBrace = "TCE0102" Error "unclosed-brace": "A `{` has no `}`.";
    StrayBrace = "TCE0103" Error "stray-brace": "A `}` has no `{`.";
    UnterminatedComment = "TCE0104" Error "unterminated-comment": "A `/*` has no `*/`.";
    UnterminatedString = "TCE0105" Error "unterminated-string": "A string does not end on its line.";
    KeywordCase = "TCE0106" Error "keyword-case": "A keyword is not in lower case.";
    ReservedName = "TCE0107" Error "reserved-name": "A keyword or builtin type is used as a name.";
    BadCharacter = "TCE0108" Error "bad-character": "A character that the language does not use, often one that looks like a valid one.";
    ForeignConstruct = "TCE0109" Error "foreign-construct": "A construct of another interface language, which TCE does not have.";
    OutsideModule = "TCE0110" Error "outside-module": "A declaration is outside of any module.";
    UnnamedType = "TCE0111" Error "unnamed-type": "A sequence or dictionary type is used without a declaration that names it.";
    MisplacedAnnotation = "TCE0112" Error "misplaced-annotation": "An annotation is not before a declaration that takes it.";
    HiddenText = "TCE0113" Warning "hidden-text": "A comment or string has a character that makes editors show other text than the compiler reads.";

    UnknownType = "TCE0200" Error "unknown-type": "A type is not declared.";
    UnknownModule = "TCE0201" Error "unknown-module": "A module is not declared in any file that was read.";
    DuplicateElement = "TCE0202" Error "duplicate-element": "Two elements of a module have the same name.";
    DuplicateMember = "TCE0203" Error "duplicate-member": "Two members of a struct or an exception have the same name.";
    DuplicateOperation = "TCE0204" Error "duplicate-operation": "Two operations of an interface have the same name.";
    DuplicateParameter = "TCE0205" Error "duplicate-parameter": "Two parameters of an operation have the same name.";
    InheritedOperation = "TCE0206" Error "inherited-operation": "An interface redeclares an operation of its base.";
    VoidValue = "TCE0207" Error "void-value": "`void` is used as the type of a value.";
    InterfaceValue = "TCE0208" Error "interface-value": "An interface is used as the type of a value.";
    DictionaryKey = "TCE0209" Error "dictionary-key": "The key type of a dictionary is not allowed.";
    RecursiveStruct = "TCE0210" Error "recursive-struct": "A struct contains itself without a sequence or dictionary between.";
    NotAnInterface = "TCE0211" Error "not-an-interface": "An interface extends something other than an interface.";
    CircularBase = "TCE0212" Error "circular-base": "An interface extends itself, directly or through its bases.";
    EmptyStruct = "TCE0213" Error "empty-struct": "A struct has no members.";
    EmptyInterface = "TCE0214" Error "empty-interface": "An interface has no operations.";
    EndlessType = "TCE0215" Error "endless-type": "A sequence or dictionary contains itself without a struct between.";
    FloatKey = "TCE0216" Warning "float-key": "The key of a dictionary is a floating-point number, which can't be compared reliably.";
    ExceptionValue = "TCE0217" Error "exception-value": "An exception is used as the type of a value.";
    NotAnException = "TCE0218" Error "not-an-exception": "`throws` names something other than an exception.";
    RepeatedThrows = "TCE0219" Error "repeated-throws": "An operation names an exception twice behind `throws`.";
    EmptyEnum = "TCE0220" Error "empty-enum": "An enum has no members.";
    DuplicateEnumMember = "TCE0221" Error "duplicate-enum-member": "Two members of an enum have the same name.";
    DuplicateEnumNumber = "TCE0222" Error "duplicate-enum-number": "Two members of an enum have the same number.";
    EnumNumber = "TCE0223" Error "enum-number": "The number of a member of an enum is not an `int`.";
    ConstantType = "TCE0224" Error "constant-type": "A constant is not of a builtin type, or is used as a type.";
    ConstantValue = "TCE0225" Error "constant-value": "The value of a constant is not one of its type.";

    BadIndex = "TCE0300" Error "bad-index": "An index is not a number from 0 to 65535.";
    ReservedIndex = "TCE0301" Error "reserved-index": "Interface index 65535 is reserved for the built-in interface.";
    DuplicateInterfaceIndex = "TCE0302" Error "duplicate-interface-index": "Two interfaces of one module have the same index.";
    DuplicateOperationIndex = "TCE0303" Error "duplicate-operation-index": "Two operations of one interface have the same index.";
    SharedIndex = "TCE0304" Warning "shared-index": "Interfaces of several modules have the same index; a gateway can't distinguish them.";
    UnknownAnnotation = "TCE0305" Warning "unknown-annotation": "An annotation has no meaning for this declaration.";
    RepeatedAnnotation = "TCE0306" Warning "repeated-annotation": "An annotation is given twice; the last one applies.";
    AnnotationValue = "TCE0307" Error "annotation-value": "An annotation has a value of the wrong kind.";
    AnnotationQuotes = "TCE0308" Warning "annotation-quotes": "The comment of an annotation is not in quotes, or an index is.";

    IndexFileSyntax = "TCE0400" Error "index-file-syntax": "The syntax of an index file is wrong.";
    IndexFileName = "TCE0401" Warning "index-file-name": "An index file names an interface or operation that the IDL does not declare.";
    IndexFileRepeat = "TCE0402" Warning "index-file-repeat": "Index files give an index twice; the last one applies.";

    Layout = "TCE0500" Warning "layout": "A file is not formatted as `tce fmt` does it.";
    LintComment = "TCE0501" Warning "lint-comment": "A `tce-lint:` comment is malformed, or names an unknown rule.";
    TypeCase = "TCE0510" Warning "type-case": "The name of a type, exception or interface is not in UpperCamelCase.";
    ModuleCase = "TCE0511" Warning "module-case": "The name of a module is not in lower case.";
    OperationCase = "TCE0512" Warning "operation-case": "The name of an operation is neither in lowerCamelCase nor in snake_case.";
    MemberCase = "TCE0513" Warning "member-case": "The name of a member or parameter is neither in lowerCamelCase nor in snake_case.";
    SimilarNames = "TCE0514" Warning "similar-names": "Two names in the same scope differ only in case or underscores.";
    KeywordName = "TCE0515" Warning "keyword-name": "A name is a keyword in a language that code is generated for.";
    MissingDocs = "TCE0520" Warning "missing-docs": "A module, struct, enum, exception, interface or operation has no documentation.";
    ImplicitIndex = "TCE0530" Warning "implicit-index": "The index of an interface is its position, so that moving the interface changes the index on the wire.";
    ForwardReference = "TCE0531" Warning "forward-reference": "A type is used before its declaration, which legacy compilers reject.";
    SeveralModules = "TCE0540" Warning "several-modules": "A file opens several modules.";
    EmptyModule = "TCE0541" Warning "empty-module": "A module is empty.";
    DuplicateImport = "TCE0542" Warning "duplicate-import": "A file imports another file twice.";
    UnusedType = "TCE0543" Warning "unused-type": "No operation takes or returns a type, directly or inside another type.";
    LegacySyntax = "TCE0544" Warning "legacy-syntax": "A file has syntax that the compilers of the original TCE reject.";
    LegacyDeclarations = "TCE0545" Warning "legacy-declarations": "A file has declarations or annotations that the compilers of the original TCE do not know.";

    SettingsSyntax = "TCE0600" Error "settings-syntax": "tce.toml can't be read, or is not valid TOML.";
    UnknownSetting = "TCE0601" Error "unknown-setting": "tce.toml has an unknown section, key, rule or language.";
    SettingValue = "TCE0602" Error "setting-value": "A setting of tce.toml has a value of the wrong kind.";

    LockSyntax = "TCE0700" Error "lock-syntax": "The syntax of a lock file is wrong, or it contradicts itself.";
    IndexMoved = "TCE0701" Error "index-moved": "An interface or operation has a different index than peers expect.";
    IndexReused = "TCE0702" Error "index-reused": "A new interface or operation takes an index that peers use for another one.";
    LockStale = "TCE0703" Error "lock-stale": "A lock file is not up to date with the IDL.";

    InterfaceRemoved = "TCE0800" Error "interface-removed": "An interface is removed.";
    InterfaceRenamed = "TCE0801" Error "interface-renamed": "An interface is renamed; its index and operations are the same.";
    BaseChanged = "TCE0802" Error "base-changed": "An interface extends a different interface than before.";
    ServantRemoved = "TCE0803" Error "servant-removed": "Servant code is no longer generated for an interface.";
    OperationRemoved = "TCE0810" Error "operation-removed": "An operation is removed.";
    OperationRenamed = "TCE0811" Error "operation-renamed": "An operation is renamed; its index and types are the same.";
    ResultChanged = "TCE0812" Error "result-changed": "An operation returns a different type than before.";
    ThrowsRemoved = "TCE0813" Error "throws-removed": "An operation no longer names an exception behind `throws`.";
    ParameterAdded = "TCE0820" Error "parameter-added": "A parameter is added to an operation.";
    ParameterRemoved = "TCE0821" Error "parameter-removed": "A parameter is removed from an operation.";
    ParameterRetyped = "TCE0822" Error "parameter-retyped": "A parameter has a different type than before.";
    ParameterRenamed = "TCE0823" Error "parameter-renamed": "A parameter is renamed.";
    ParametersReordered = "TCE0824" Error "parameters-reordered": "The parameters of an operation are reordered.";
    TypeRemoved = "TCE0830" Error "type-removed": "A struct, enum, exception, sequence or dictionary is removed.";
    TypeReplaced = "TCE0831" Error "type-replaced": "A type is now of another kind, such as a struct that was a sequence.";
    ContentChanged = "TCE0832" Error "content-changed": "A sequence or dictionary contains a different type than before.";
    MemberAdded = "TCE0840" Error "member-added": "A member is added to a struct or an exception.";
    MemberRemoved = "TCE0841" Error "member-removed": "A member is removed from a struct or an exception.";
    MemberRetyped = "TCE0842" Error "member-retyped": "A member of a struct or an exception has a different type than before.";
    MemberRenamed = "TCE0843" Error "member-renamed": "A member of a struct or an exception is renamed.";
    MembersReordered = "TCE0844" Error "members-reordered": "The members of a struct or an exception are reordered.";
    EnumMemberRemoved = "TCE0850" Error "enum-member-removed": "A member is removed from an enum.";
    EnumMemberRenamed = "TCE0851" Error "enum-member-renamed": "A member of an enum is renamed; its number is the same.";
    EnumNumberChanged = "TCE0852" Error "enum-number-changed": "A member of an enum has another number than before.";
    ConstantRemoved = "TCE0860" Error "constant-removed": "A constant is removed.";
    ConstantRetyped = "TCE0861" Error "constant-retyped": "A constant has a different type than before.";
}
