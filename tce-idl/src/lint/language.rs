//! The languages that TCE programs are written in, and their keywords.

use std::collections::HashSet;
use std::sync::LazyLock;

/// A language that a TCE compiler, this one or a legacy one, generates code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python 2 and 3
    Python,
    /// Java
    Java,
    /// JavaScript, in strict mode
    JavaScript,
    /// TypeScript, whose reserved words are those of JavaScript
    TypeScript,
    /// C++, up to C++20
    Cpp,
    /// C#
    CSharp,
    /// Objective-C
    ObjectiveC,
    /// ActionScript 3
    ActionScript,
    /// Rust, edition 2024
    Rust,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[
        Self::Python,
        Self::Java,
        Self::JavaScript,
        Self::TypeScript,
        Self::Cpp,
        Self::CSharp,
        Self::ObjectiveC,
        Self::ActionScript,
        Self::Rust,
    ];

    /// Its name in settings, such as `cpp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Cpp => "cpp",
            Self::CSharp => "csharp",
            Self::ObjectiveC => "objc",
            Self::ActionScript => "actionscript",
            Self::Rust => "rust",
        }
    }

    /// Its usual name, such as `C++`.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Java => "Java",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Cpp => "C++",
            Self::CSharp => "C#",
            Self::ObjectiveC => "Objective-C",
            Self::ActionScript => "ActionScript",
            Self::Rust => "Rust",
        }
    }

    /// Whether a name is one of its keywords.
    #[must_use]
    pub fn has_keyword(self, name: &str) -> bool {
        static KEYWORDS: LazyLock<HashSet<(Language, &str)>> = LazyLock::new(|| {
            let languages = Language::ALL.iter();
            let keywords =
                languages.flat_map(|it| it.keywords().split(' ').map(|word| (*it, word)));
            keywords.collect()
        });
        KEYWORDS.contains(&(self, name))
    }

    /// Its keywords, except for those that are reserved in the IDL too.
    fn keywords(self) -> &'static str {
        match self {
            Self::Python => {
                "False None True and as assert async await break class continue def del elif else \
                 except exec finally for from global if in is lambda nonlocal not or pass print \
                 raise return try while with yield"
            }
            Self::Java => {
                "abstract assert boolean break case catch char class const continue default do \
                 else enum false final finally for goto if implements instanceof native new null \
                 package private protected public return static strictfp super switch \
                 synchronized this throw throws transient true try volatile while"
            }
            Self::JavaScript | Self::TypeScript => {
                "await break case catch class const continue debugger default delete do else enum \
                 export false finally for function if implements in instanceof let new null \
                 package private protected public return static super switch this throw true try \
                 typeof var while with yield"
            }
            Self::Cpp => {
                "alignas alignof and and_eq asm auto bitand bitor break case catch char char16_t \
                 char32_t char8_t class co_await co_return co_yield compl concept const const_cast \
                 consteval constexpr constinit continue decltype default delete do dynamic_cast \
                 else enum explicit export extern false for friend goto if inline mutable \
                 namespace new noexcept not not_eq nullptr operator or or_eq private protected \
                 public register reinterpret_cast requires return signed sizeof static \
                 static_assert static_cast switch template this thread_local throw true try \
                 typedef typeid typename union unsigned using virtual volatile wchar_t while xor \
                 xor_eq"
            }
            Self::CSharp => {
                "abstract as base break case catch char checked class const continue decimal \
                 default delegate do else enum event explicit extern false finally fixed for \
                 foreach goto if implicit in internal is lock namespace new null object operator \
                 out override params private protected public readonly ref return sbyte sealed \
                 sizeof stackalloc static switch this throw true try typeof uint ulong unchecked \
                 unsafe ushort using virtual volatile while"
            }
            // Without `id`, `in` and `out`, which are keywords only in some contexts.
            Self::ObjectiveC => {
                "auto break case char const continue default do else enum extern for goto if \
                 inline nil register restrict return self signed sizeof static super switch \
                 typedef typeof union unsigned volatile while BOOL NO Nil YES"
            }
            Self::ActionScript => {
                "as break case catch class const continue default delete do else false finally \
                 for function if implements in instanceof internal is native new null package \
                 private protected public return super switch this throw to true try typeof use \
                 var while with"
            }
            Self::Rust => {
                "Self abstract as async await become box break const continue crate do dyn else \
                 enum extern false final fn for gen if impl in let loop macro match mod move mut \
                 override priv pub ref return self static super trait true try type typeof unsafe \
                 unsized use virtual where while yield"
            }
        }
    }
}
