//! Scripts to jobs, as ecFlow does it, and Takler.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

use tce_flow::template::{Loader, Script, TemplateError, Variables};

use crate::common::Simulation;

/// Files in memory.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    reads: Cell<u32>,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        let files = files.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Self {
            files: files.collect(),
            ..Self::default()
        }
    }
}

impl Loader for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.reads.set(self.reads.get() + 1);
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
    for case in &cases {
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
            differences.push(format!("{:?}: {preprocessed:?}, ecFlow: {expected:?}", case.script));
        }
        if trimmed(&job) != trimmed(&case.job) {
            differences.push(format!("{:?}: job {job:?}, ecFlow: {:?}", case.script, case.job));
        }
    }
    assert_eq!(differences, [""; 0], "{}", differences.join("\n"));
}

/// ecFlow's jobs end without an end of line, and its texts with one more.
fn trimmed(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim_end)
}
