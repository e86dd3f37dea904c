//! `string class`

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    code: Code::KeywordName,
    level: Level::Warn,
    why: "Generated code can't use a keyword as it is: the name gets a mark or an underscore, \
          another one in each language, or the code does not compile where a legacy compiler \
          writes it. `languages` in the [lint] section of tce.toml says which languages count; \
          without it, all do.",
    bad: include_str!("../examples/keyword_name.bad.idl"),
    good: include_str!("../examples/keyword_name.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    for (kind, name) in subject.names() {
        let languages = subject.languages.iter();
        let titles: Vec<&str> = languages
            .filter(|language| language.has_keyword(&name.text))
            .map(|language| language.title())
            .collect();
        let places = match titles.as_slice() {
            [] => continue,
            [one] => (*one).to_owned(),
            [several @ .., last] => format!("{} and {last}", several.join(", ")),
        };
        let message = format!("{} `{}` is a keyword in {places}", kind.noun(), name.text);
        let diagnostic = Diagnostic::new(Code::KeywordName, message).at(name.span, "");
        found.push(diagnostic.help("call it otherwise: generated code has to"));
    }
}
