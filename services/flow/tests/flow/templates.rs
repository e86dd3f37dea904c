//! Scripts to jobs, as ecFlow does it, and Takler.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

use proptest::prelude::*;
use tce_flow::template::{Loader, Script, TemplateError, Variables};

use crate::common::Simulation;

/// Files in memory.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        let files = files.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Self {
            files: files.collect(),
        }
    }
}

impl Loader for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let text = self.files.get(path).cloned();
        text.ok_or_else(|| Error::from(ErrorKind::NotFound))
    }
}

fn variables(definition: &str, path: &str) -> Variables {
    let simulation = Simulation::begun(definition);
    Variables::of(simulation.machine.tree(), simulation.id(path))
}

fn job(variables: &Variables, files: &Files) -> Result<String, TemplateError> {
    let script = Script::find(variables, files)?;
    let job = script.job(variables, files)?;
    Ok(String::from_utf8(job).unwrap())
}

/// The suite, and the files, of `recorded/templates.txt`.
const RECORDED: &str = r#"suite s
 edit ECF_HOME '/h'
 edit ECF_INCLUDE '/h/inc:/h'
 edit A 'aval'
 edit B '%A%'
 edit E ''
 edit C '%D%'
 edit D '%C%'
 edit M 'a%b'
 edit P 'a%%b'
 family f
  task t1
 endfamily
endsuite"#;

const FILES: [(&str, &str); 16] = [
    ("/h/inc/head.h", "head %A%\n"),
    ("/h/inc/i.h", "inc %A%\n%include \"loc.h\"\n"),
    ("/h/s/f/loc.h", "local %TASK%\n"),
    ("/h/inc/o.h", "once\n"),
    ("/h/inc/nopp.h", "pp %A% %\n%include <o.h>\n"),
    ("/h/inc/c1.h", "%include <c2.h>\n"),
    ("/h/inc/c2.h", "%include <c1.h>\n"),
    ("/h/inc/cm.h", "%comment\n"),
    ("/h/inc/nonl.h", "x%A"),
    ("/h/inc/man.h", "%manual\nabout %A%\n%end\n"),
    ("/h/home.h", "home\n"),
    ("/h/inc/open.h", "%manual\n x\n"),
    ("/h/inc/aval.h", "by value\n"),
    ("/h/inc/self.h", "%include <self.h>\n"),
    ("/h/inc/empty.h", ""),
    ("/h/inc/mark.h", "%ecfmicro @\n"),
];

/// Lone marks in values are no error here, and their order does not matter; a script of blank lines
/// alone is refused, as is a mark of two characters.
const DIFFERENT: [&str; 4] = ["%M% %A%\n", "%P% %A%\n", "\n", "%ecfmicro %%\nx\n"];

#[derive(Default)]
struct Case {
    script: String,
    preprocessed: Option<String>,
    job: Option<String>,
}

fn recorded_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut part = String::new();
    for line in include_str!("recorded/templates.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some(text) = line.strip_prefix(' ') else {
            part = line.to_owned();
            if part == "script" {
                cases.push(Case::default());
            }
            continue;
        };
        let case = cases.last_mut().unwrap();
        let target = match &*part {
            "script" => &mut case.script,
            "pre" => case.preprocessed.get_or_insert_default(),
            "job" => case.job.get_or_insert_default(),
            other => panic!("{other}"),
        };
        target.push_str(text);
        target.push('\n');
    }
    cases
}

#[test]
fn scripts_become_what_ecflow_makes_of_them() {
    let variables = variables(RECORDED, "/s/f/t1");
    let mut differences = Vec::new();
    let cases = recorded_cases();
    assert!(cases.len() > 70);
    let is_different = |case: &&Case| DIFFERENT.contains(&&*case.script);
    assert_eq!(cases.iter().filter(is_different).count(), DIFFERENT.len());
    for case in cases.iter().filter(|case| !is_different(case)) {
        let mut files = Files::new(&FILES);
        let script = case.script.clone().into_bytes();
        files.files.insert("/h/s/f/t1.ecf".into(), script);
        let preprocessed = Script::find(&variables, &files)
            .and_then(|script| script.preprocessed(&variables, &files))
            .map(|text| String::from_utf8(text).unwrap());
        let job = job(&variables, &files);
        let (preprocessed, job) = (preprocessed.ok(), job.ok());
        if trimmed(&preprocessed) != trimmed(&case.preprocessed) {
            let expected = &case.preprocessed;
            differences.push(format!(
                "{:?}: {preprocessed:?}, ecFlow: {expected:?}",
                case.script
            ));
        }
        if trimmed(&job) != trimmed(&case.job) {
            differences.push(format!(
                "{:?}: job {job:?}, ecFlow: {:?}",
                case.script, case.job
            ));
        }
    }
    assert_eq!(differences, [""; 0], "{}", differences.join("\n"));
}

/// ecFlow's jobs end without an end of line, and its texts with one more.
fn trimmed(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim_end)
}

/// Why a script is no job.
fn refusal(script: &str, others: &[(&str, &str)]) -> String {
    let variables = variables(RECORDED, "/s/f/t1");
    let mut files = Files::new(&FILES);
    let script = ("/h/s/f/t1.ecf".to_owned(), script.as_bytes().to_vec());
    files.files.extend([script]);
    for (path, text) in others {
        files
            .files
            .insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    job(&variables, &files).unwrap_err().to_string()
}

#[test]
fn errors_name_file_and_line() {
    let texts = [
        (
            "a\n%include <c1.h>\n",
            "/h/inc/c2.h:1: circular include: /h/s/f/t1.ecf includes /h/inc/c1.h includes /h/inc/c2.h includes /h/inc/c1.h",
        ),
        (
            "a\nb %NOPE%\n",
            "/h/s/f/t1.ecf:2: there is no variable NOPE",
        ),
        (
            "%include <head.h>\n%include <nope.h>\n",
            "/h/s/f/t1.ecf:2: no file to include; tried /h/inc/nope.h, /h/nope.h, /h/nope.h",
        ),
        (
            "%include <nonl.h>\n",
            "/h/inc/nonl.h:1: a % has no partner; write %% for the character itself",
        ),
        ("x\n%manual\n", "/h/s/f/t1.ecf:2: %manual without %end"),
        (
            "%include\n",
            "/h/s/f/t1.ecf:1: an include needs the name of a file",
        ),
        ("%foo\n", "/h/s/f/t1.ecf:1: there is no directive %foo"),
        (
            "%C%\n",
            "/h/s/f/t1.ecf:1: the value of C names variables more than 16 levels deep",
        ),
        (" \n\n", "/h/s/f/t1.ecf:1: the script is empty"),
    ];
    for (script, text) in texts {
        assert_eq!(refusal(script, &[]), text);
    }
}

#[test]
fn includes_and_values_that_grow_without_end_are_refused() {
    let wide = "%include </h/wide>\n".repeat(3);
    let deep: Vec<_> = (0..20)
        .map(|level| {
            let text = format!("%include /h/{}\n", level + 1).repeat(2);
            (format!("/h/{level}"), text)
        })
        .collect();
    let deep: Vec<_> = deep.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert_eq!(
        refusal("%include /h/0\n", &deep),
        "/h/15:1: includes are more than 16 levels deep"
    );
    let many: Vec<_> = (0..14)
        .map(|level| {
            (
                format!("/h/{level}"),
                format!("%include /h/{}\n", level + 1).repeat(2),
            )
        })
        .chain([("/h/14".to_owned(), String::new())])
        .collect();
    let many: Vec<_> = many.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert!(refusal("%include /h/0\n", &many).ends_with("more than 10000 includes"));
    assert!(refusal(&wide, &[]).contains("no file to include"));
    let mut definition = String::from("suite s\n edit ECF_HOME /h\n edit V0 ''\n");
    for level in 1..10 {
        let value = format!("%V{}%", level - 1).repeat(20);
        definition += &format!(" edit V{level} '{value}'\n");
    }
    definition += " task t\nendsuite";
    let variables = variables(&definition, "/s/t");
    let files = Files::new(&[("/h/s/t.ecf", "%V9%\n")]);
    assert_eq!(
        job(&variables, &files).unwrap_err().to_string(),
        "/h/s/t.ecf:1: the values of the variables are too long"
    );
}

#[test]
fn a_script_is_found_where_ecflow_looks() {
    let definition = |more: &str| {
        format!(
            "suite s\n edit ECF_HOME /h\n{more} family a\n  family b\n   task t\n  endfamily\n endfamily\nendsuite"
        )
    };
    let own = variables(&definition(" edit ECF_FILES '%ECF_HOME%/f'\n"), "/s/a/b/t");
    let places = [
        "/h/s/a/b/t.ecf",
        "/h/f/s/a/b/t.ecf",
        "/h/f/a/b/t.ecf",
        "/h/f/b/t.ecf",
        "/h/f/t.ecf",
        "/h/a/b/t.ecf",
        "/h/b/t.ecf",
        "/h/t.ecf",
    ];
    let error = Script::find(&own, &Files::default()).unwrap_err();
    assert_eq!(
        error,
        TemplateError::NoScript(places.map(String::from).to_vec())
    );
    for (at, place) in places.iter().enumerate() {
        let files: Vec<_> = places[at..].iter().map(|place| (*place, "x")).collect();
        assert_eq!(
            Script::find(&own, &Files::new(&files)).unwrap().path,
            *place
        );
    }
    let leaf = " edit ECF_FILES /f\n edit ECF_FILES_LOOKUP prune_leaf\n edit ECF_EXTN .sh\n";
    let error = Script::find(&variables(&definition(leaf), "/s/a/b/t"), &Files::default());
    let places = [
        "/h/s/a/b/t.sh",
        "/f/s/a/b/t.sh",
        "/f/s/a/t.sh",
        "/f/s/t.sh",
        "/f/t.sh",
        "/h/s/a/t.sh",
        "/h/s/t.sh",
        "/h/t.sh",
    ];
    let expected = TemplateError::NoScript(places.map(String::from).to_vec());
    assert_eq!(error.unwrap_err(), expected);
    let task =
        "suite s\n edit ECF_HOME /h\n task t\n  edit ECF_SCRIPT '%ECF_HOME%/%TASK%.any'\nendsuite";
    let error = Script::find(&variables(task, "/s/t"), &Files::default()).unwrap_err();
    assert_eq!(error.to_string(), "no script; tried /h/t.any");
}

/// The job of a Takler script at `/p/t.takler`.
fn takler(script: &str) -> Result<String, String> {
    let definition = "suite s\n edit TAKLER_HOME /h\n edit TAKLER_INCLUDE /i:/j\n edit A 'a {{ B }}'\n task t\n  edit TAKLER_SCRIPT /p/t.takler\nendsuite";
    let files = Files::new(&[
        ("/p/t.takler", script),
        ("/p/beside.h", "beside {{ A }}\n"),
        ("/j/far.h", "far\n"),
        ("/i/self.h", "{% include 'self.h' %}"),
        ("/i/bad.h", "x\n{{ NOPE }}"),
    ]);
    job(&variables(definition, "/s/t"), &files).map_err(|error| error.to_string())
}

#[test]
fn takler_scripts_are_rendered_as_by_jinja() {
    let texts = [
        (
            "{{ A }} {{A}} {{- A -}} x\n",
            "a {{ B }} a {{ B }}a {{ B }}x\n",
        ),
        (
            "{{ NOPE | default(\"d\\n\") }}{{ NOPE|default('e') }}{{ NOPE | default(3) }}\n",
            "d\ne3\n",
        ),
        (
            "x\n{% include \"beside.h\" %}\n{%- include 'far.h' -%}\n\ny",
            "x\nbeside a {{ B }}fary\n",
        ),
        (
            "{# {{ NOPE }} #}a{% raw %}{{ b }} %A%{% endraw %} %A%\n",
            "a{{ b }} %A% %A%\n",
        ),
        (
            "{{ TASK }} {{ TAKLER_NAME }} {{ DATE }} {{ TIME }} ${x}\n",
            "t /s/t 2026-11-30 12:00 ${x}\n",
        ),
    ];
    for (script, expected) in texts {
        assert_eq!(takler(script).as_deref(), Ok(expected));
    }
}

#[test]
fn what_takler_scripts_can_not_do_is_named() {
    let texts = [
        ("a\n{{ NOPE }}", "/p/t.takler:2: there is no variable NOPE"),
        (
            "{% if A %}",
            "/p/t.takler:1: {% if A %} is not supported; there are include and raw",
        ),
        (
            "{{ A.b }}",
            "/p/t.takler:1: {{ A.b }} is not supported; use {{ NAME }}",
        ),
        (
            "\n{{ A | upper }}",
            "/p/t.takler:2: the filter upper is not supported; use default(\"…\")",
        ),
        ("{{ A", "/p/t.takler:1: {{ without }}"),
        ("{% raw %}", "/p/t.takler:1: {% raw %} without {% endraw %}"),
        (
            "{% include 'no.h' %}",
            "/p/t.takler:1: no file to include; tried /p/no.h, /i/no.h, /j/no.h",
        ),
        (
            "{% include 'self.h' %}",
            "/i/self.h:1: circular include: /p/t.takler includes /i/self.h includes /i/self.h",
        ),
        (
            "{% include 'bad.h' %}",
            "/i/bad.h:2: there is no variable NOPE",
        ),
    ];
    for (script, expected) in texts {
        assert_eq!(takler(script).unwrap_err(), expected);
    }
}

#[test]
fn a_manual_is_what_is_between_manual_and_end() {
    let variables = variables(RECORDED, "/s/f/t1");
    let script = "%include <man.h>\nx\n%manual\n%A% is 100%\n%NOPE%\n%end\n";
    let mut files = Files::new(&FILES);
    files
        .files
        .insert("/h/s/f/t1.ecf".into(), script.as_bytes().to_vec());
    let script = Script::find(&variables, &files).unwrap();
    let manual = script.manual(&variables, &files).unwrap();
    assert_eq!(manual, b"about aval\naval is 100%\n%NOPE%\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_script_is_a_job_or_an_error(
        parts in prop::collection::vec(prop::sample::select(vec![
            "%", "A", ":", "\n", "%include ", "<i.h>", "%nopp", "%end", "%comment", "%ecfmicro @", "@",
            "{{", "}}", "{%", "%}", " raw ", " include ", "'beside.h'", "{#", "#}", "-", "|", "default(", ")",
            "\"", "\\", "é", " ", "#",
        ]), 0..40)
    ) {
        let text = parts.concat();
        let _ = takler(&text);
        let variables = variables(RECORDED, "/s/f/t1");
        let mut files = Files::new(&FILES);
        files.files.insert("/h/s/f/t1.ecf".into(), text.into_bytes());
        let script = Script::find(&variables, &files).unwrap();
        let _ = script.preprocessed(&variables, &files);
        let _ = script.manual(&variables, &files);
        let _ = script.job(&variables, &files);
    }
}
