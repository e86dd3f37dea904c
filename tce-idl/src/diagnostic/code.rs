//! The table of all codes.

use std::fmt;

/// Whether a diagnostic stops the compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// There is no model.
    Error,
    /// The model is good; the text may not mean what its author thinks.
    Warning,
}

/// Makes [`Code`] of the table, so that a code can't lack its name or explanation.
macro_rules! codes {
    ($($variant:ident = $id:literal $severity:ident $name:literal: $explanation:literal;)*) => {
        /// A rule that an IDL can break. What a code means never changes, and none is used again.
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

            /// What it is about, in one line.
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
    FileTooLarge = "TCE0004" Error "file-too-large": "A file is larger than the compiler reads.";
    MoreErrors = "TCE0005" Error "more-errors": "There are more errors than one run shows.";
    MoreWarnings = "TCE0006" Warning "more-warnings": "There are more warnings than one run shows.";

    Unexpected = "TCE0100" Error "unexpected": "Something else was expected at this place.";
    MissingSemicolon = "TCE0101" Error "missing-semicolon": "A declaration does not end with `;`.";
    UnclosedBrace = "TCE0102" Error "unclosed-brace": "A `{` has no `}`.";
    StrayBrace = "TCE0103" Error "stray-brace": "A `}` closes nothing.";
    UnterminatedComment = "TCE0104" Error "unterminated-comment": "A `/*` has no `*/`.";
    UnterminatedString = "TCE0105" Error "unterminated-string": "A string does not end on its line.";
    KeywordCase = "TCE0106" Error "keyword-case": "A keyword is not in lower case.";
    ReservedName = "TCE0107" Error "reserved-name": "A word of the language is used as a name.";
    BadCharacter = "TCE0108" Error "bad-character": "A character that the language does not know, often the look-alike of one that it does.";
    ForeignConstruct = "TCE0109" Error "foreign-construct": "A construct of another interface language.";
    OutsideModule = "TCE0110" Error "outside-module": "A declaration stands outside of any module.";
    UnnamedType = "TCE0111" Error "unnamed-type": "A sequence or dictionary is used without giving it a name first.";
    MisplacedAnnotation = "TCE0112" Error "misplaced-annotation": "An annotation stands before something that can't have one.";

    UnknownType = "TCE0200" Error "unknown-type": "A type that nothing declares.";
    UnknownModule = "TCE0201" Error "unknown-module": "A module that nothing opens.";
    DuplicateElement = "TCE0202" Error "duplicate-element": "Two elements of one module have one name.";
    DuplicateMember = "TCE0203" Error "duplicate-member": "Two members of one struct have one name.";
    DuplicateOperation = "TCE0204" Error "duplicate-operation": "Two operations of one interface have one name.";
    DuplicateParameter = "TCE0205" Error "duplicate-parameter": "Two parameters of one operation have one name.";
    InheritedOperation = "TCE0206" Error "inherited-operation": "An interface declares an operation of its base again.";
    VoidValue = "TCE0207" Error "void-value": "`void` is used as the type of a value.";
    InterfaceValue = "TCE0208" Error "interface-value": "An interface is used as the type of a value.";
    DictionaryKey = "TCE0209" Error "dictionary-key": "A type that can't be the key of a dictionary.";
    RecursiveStruct = "TCE0210" Error "recursive-struct": "A struct contains itself other than through a sequence or dictionary.";
    NotAnInterface = "TCE0211" Error "not-an-interface": "An interface extends something that is no interface.";
    CircularBase = "TCE0212" Error "circular-base": "An interface is its own base, directly or over others.";
    EmptyStruct = "TCE0213" Error "empty-struct": "A struct has no members.";
    EmptyInterface = "TCE0214" Error "empty-interface": "An interface has no operations.";
    EndlessType = "TCE0215" Error "endless-type": "A sequence or dictionary contains itself other than through a struct.";

    BadIndex = "TCE0300" Error "bad-index": "An index is no number from 0 to 65535.";
    ReservedIndex = "TCE0301" Error "reserved-index": "Interface index 65535 belongs to the built-in interface.";
    DuplicateInterfaceIndex = "TCE0302" Error "duplicate-interface-index": "Two interfaces of one module have the same index.";
    DuplicateOperationIndex = "TCE0303" Error "duplicate-operation-index": "Two operations of one interface have the same index.";
    SharedIndex = "TCE0304" Warning "shared-index": "Interfaces of several modules have the same index; a gateway can't tell them apart.";
    UnknownAnnotation = "TCE0305" Warning "unknown-annotation": "An annotation that means nothing at this place.";
    RepeatedAnnotation = "TCE0306" Warning "repeated-annotation": "An annotation is given twice; the last one counts.";
    AnnotationValue = "TCE0307" Error "annotation-value": "An annotation has a value of the wrong kind.";

    IndexFileSyntax = "TCE0400" Error "index-file-syntax": "An index file can't be understood.";
    IndexFileName = "TCE0401" Warning "index-file-name": "An index file names what the IDL does not declare.";
    IndexFileRepeat = "TCE0402" Warning "index-file-repeat": "Index files give one index twice; the last one counts.";

    Layout = "TCE0500" Warning "layout": "A file is not laid out as `tce fmt` does.";
    LintComment = "TCE0501" Warning "lint-comment": "A `tce-lint:` comment can't be understood, or names no rule.";
    TypeCase = "TCE0510" Warning "type-case": "The name of a struct, sequence, dictionary or interface is not in UpperCamelCase.";
    ModuleCase = "TCE0511" Warning "module-case": "The name of a module is not in lower case.";
    OperationCase = "TCE0512" Warning "operation-case": "The name of an operation is neither in lowerCamelCase nor in snake_case.";
    MemberCase = "TCE0513" Warning "member-case": "The name of a member or parameter is neither in lowerCamelCase nor in snake_case.";
    SimilarNames = "TCE0514" Warning "similar-names": "Two names of one scope differ in case or underscores alone.";
    KeywordName = "TCE0515" Warning "keyword-name": "A name is a keyword in a language that code is generated for.";
    MissingDocs = "TCE0520" Warning "missing-docs": "A module, struct, interface or operation has no documentation.";
    ImplicitIndex = "TCE0530" Warning "implicit-index": "The index of an interface is its position, so that moving it changes the wire.";
    ForwardReference = "TCE0531" Warning "forward-reference": "A type is used before it is declared, which legacy compilers refuse.";
    SeveralModules = "TCE0540" Warning "several-modules": "A file opens several modules.";
    EmptyModule = "TCE0541" Warning "empty-module": "A module is opened with nothing in it.";
    DuplicateImport = "TCE0542" Warning "duplicate-import": "A file imports another one twice.";
    UnusedType = "TCE0543" Warning "unused-type": "No operation takes or returns a type, or anything that contains it.";

    SettingsSyntax = "TCE0600" Error "settings-syntax": "tce.toml can't be read, or is not TOML.";
    UnknownSetting = "TCE0601" Error "unknown-setting": "tce.toml names something that does not exist.";
    SettingValue = "TCE0602" Error "setting-value": "A setting of tce.toml has a value of the wrong kind.";

    LockSyntax = "TCE0700" Error "lock-syntax": "A lock file can't be understood.";
    IndexMoved = "TCE0701" Error "index-moved": "An interface or operation has another index than peers know.";
    IndexReused = "TCE0702" Error "index-reused": "Something new has an index that peers know as something else.";
    LockStale = "TCE0703" Error "lock-stale": "A lock file does not have what the IDL has.";

    InterfaceRemoved = "TCE0800" Error "interface-removed": "An interface is gone.";
    InterfaceRenamed = "TCE0801" Error "interface-renamed": "An interface has another name, and the same index and operations.";
    BaseChanged = "TCE0802" Error "base-changed": "An interface extends another one than before.";
    ServantRemoved = "TCE0803" Error "servant-removed": "No servant code is written any more for an interface.";
    OperationRemoved = "TCE0810" Error "operation-removed": "An operation is gone.";
    OperationRenamed = "TCE0811" Error "operation-renamed": "An operation has another name, and the same index and types.";
    ResultChanged = "TCE0812" Error "result-changed": "An operation returns another type than before.";
    ParameterAdded = "TCE0820" Error "parameter-added": "An operation has a parameter more.";
    ParameterRemoved = "TCE0821" Error "parameter-removed": "An operation has a parameter less.";
    ParameterRetyped = "TCE0822" Error "parameter-retyped": "A parameter has another type.";
    ParameterRenamed = "TCE0823" Error "parameter-renamed": "A parameter has another name.";
    ParametersReordered = "TCE0824" Error "parameters-reordered": "The parameters of an operation come in another order.";
    TypeRemoved = "TCE0830" Error "type-removed": "A struct, sequence or dictionary is gone.";
    TypeReplaced = "TCE0831" Error "type-replaced": "A name stands for another kind of type.";
    ContentChanged = "TCE0832" Error "content-changed": "A sequence or dictionary holds another type.";
    MemberAdded = "TCE0840" Error "member-added": "A struct has a member more.";
    MemberRemoved = "TCE0841" Error "member-removed": "A struct has a member less.";
    MemberRetyped = "TCE0842" Error "member-retyped": "A member of a struct has another type.";
    MemberRenamed = "TCE0843" Error "member-renamed": "A member of a struct has another name.";
    MembersReordered = "TCE0844" Error "members-reordered": "The members of a struct come in another order.";
}
