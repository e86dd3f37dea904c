//! Variables: the user's, those of repeats, and those that the server generates.

use std::borrow::Cow;

use crate::attribute::SuiteTime;
use crate::calendar::{DAY_NAMES, MONTH_NAMES, clock_text};
use crate::expression::Value;

use super::arena::{Kind, Node, NodeId, Tree};

/// The server's own variables, unless the user sets them.
pub const SERVER_VARIABLES: [(&str, &str); 7] = [
    ("ECF_MICRO", "%"),
    ("ECF_JOB_CMD", "%ECF_JOB% 1> %ECF_JOBOUT% 2>&1"),
    ("ECF_KILL_CMD", "kill -15 %ECF_RID%"),
    (
        "ECF_STATUS_CMD",
        "ps --pid %ECF_RID% -f > %ECF_JOB%.stat 2>&1",
    ),
    ("ECF_INTERVAL", "60"),
    ("ECF_TRIES", "2"),
    ("ECF_VERSION", "5.9.2"),
];

/// Whether a generated variable of a suite changes with its clock.
#[must_use]
pub fn is_clock_variable(name: &str) -> bool {
    matches!(
        name,
        "ECF_DATE"
            | "YYYY"
            | "MM"
            | "DD"
            | "DOW"
            | "DOY"
            | "DATE"
            | "DAY"
            | "MONTH"
            | "ECF_TIME"
            | "TIME"
            | "ECF_CLOCK"
            | "ECF_JULIAN"
    )
}

/// Whether a variable holds a secret of a job.
#[must_use]
pub fn is_password(name: &str) -> bool {
    matches!(name, "ECF_PASS" | "TAKLER_PASS")
}

impl Tree {
    /// A variable as a node sees it: its own, or that of the nearest parent that has it.
    #[must_use]
    pub fn lookup(&self, id: NodeId, name: &str) -> Option<Cow<'_, str>> {
        let own = self.upwards(id).find_map(|id| self.variable(id, name));
        own.or_else(|| self.variable(NodeId::ROOT, name))
    }

    /// A variable of a node itself: the user's, that of its repeat, or a generated one.
    #[must_use]
    pub fn variable(&self, id: NodeId, name: &str) -> Option<Cow<'_, str>> {
        let node = &self[id];
        if let Some(value) = node.attributes.variable(name) {
            return Some(value.into());
        }
        repeat_variable(node, name).or_else(|| self.generated(id, name))
    }

    /// The value of `NAME` in an expression, at the node itself.
    #[must_use]
    pub fn attribute_value(&self, id: NodeId, name: &str) -> Option<Value> {
        let node = &self[id];
        if let Some(value) = node.attributes.signals().and_then(|all| all.value(name)) {
            return Some(Value::Integer(value));
        }
        self.variable_value(id, name).or_else(|| {
            let limit = node
                .attributes
                .limits()
                .iter()
                .find(|limit| &*limit.name == name)?;
            Some(Value::Integer(
                i64::try_from(limit.used()).unwrap_or(i64::MAX),
            ))
        })
    }

    /// The value of the variable `NAME` in an expression, at the node itself. A text that is no
    /// number counts as 0.
    #[must_use]
    pub fn variable_value(&self, id: NodeId, name: &str) -> Option<Value> {
        let repeat = self[id].attributes.repeat.as_deref();
        if let Some(repeat) = repeat.filter(|repeat| &*repeat.name == name)
            && self[id].attributes.variable(name).is_none()
        {
            return Some(repeat.value());
        }
        let text = self.variable(id, name)?;
        Some(Value::Integer(
            text.trim().parse::<i32>().map_or(0, i64::from),
        ))
    }

    /// All generated variables of a node, in the order in which they are shown.
    #[must_use]
    pub fn generated_variables(&self, id: NodeId) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Some(repeat) = self[id].attributes.repeat.as_deref() {
            for suffix in ["_YYYY", "_MM", "_DD", "_DOW", "_JULIAN"] {
                if let Some(part) = repeat.date_part(suffix) {
                    found.push((format!("{}{suffix}", repeat.name), part.to_string()));
                }
            }
            found.push((repeat.name.to_string(), repeat.text()));
        }
        let names: &[&str] = match self[id].kind() {
            Kind::Server => &[],
            Kind::Suite => &[
                "SUITE",
                "ECF_DATE",
                "YYYY",
                "DOW",
                "DOY",
                "DATE",
                "DAY",
                "DD",
                "MM",
                "MONTH",
                "ECF_CLOCK",
                "ECF_TIME",
                "ECF_JULIAN",
                "TIME",
            ],
            Kind::Family => &["FAMILY", "FAMILY1"],
            Kind::Task => &[
                "TASK",
                "ECF_JOB",
                "ECF_SCRIPT",
                "ECF_JOBOUT",
                "ECF_TRYNO",
                "ECF_RID",
                "ECF_NAME",
                "ECF_PASS",
            ],
        };
        for name in names {
            if let Some(value) = self.generated(id, name) {
                found.push(((*name).to_owned(), value.into_owned()));
            }
        }
        found
    }

    fn generated(&self, id: NodeId, name: &str) -> Option<Cow<'_, str>> {
        let node = &self[id];
        match node.kind() {
            Kind::Server => SERVER_VARIABLES
                .iter()
                .find_map(|(known, value)| (*known == name).then_some((*value).into())),
            Kind::Suite if name == "SUITE" => Some((&*node.name).into()),
            Kind::Suite => clock_variable(self.suite_time(id), name).map(Cow::from),
            Kind::Family => match name {
                "FAMILY1" => Some((&*node.name).into()),
                "FAMILY" => {
                    let path = self.path(id);
                    let below_suite = path.splitn(3, '/').nth(2).unwrap_or_default();
                    Some(below_suite.to_owned().into())
                }
                _ => None,
            },
            Kind::Task => self.task_variable(id, name),
        }
    }

    fn task_variable(&self, id: NodeId, name: &str) -> Option<Cow<'_, str>> {
        let node = &self[id];
        let job = node.job();
        let file = |home: &str, ending: String| {
            let home = self.lookup(id, home).unwrap_or(Cow::Borrowed("."));
            Cow::from(format!("{home}{}{ending}", self.path(id)))
        };
        Some(match name {
            "TASK" => (&*node.name).into(),
            "ECF_NAME" | "TAKLER_NAME" => self.path(id).into(),
            "ECF_PASS" | "TAKLER_PASS" => job.map_or("", |job| &job.password).into(),
            "ECF_RID" | "TAKLER_RID" => job.map_or("", |job| &job.rid).into(),
            "ECF_TRYNO" | "TAKLER_TRY_NO" => node.try_no().to_string().into(),
            "ECF_JOB" | "TAKLER_JOB" => file("ECF_HOME", format!(".job{}", node.try_no())),
            "ECF_JOBOUT" | "TAKLER_JOBOUT" => {
                let home = if self.lookup(id, "ECF_OUT").is_some() {
                    "ECF_OUT"
                } else {
                    "ECF_HOME"
                };
                file(home, format!(".{}", node.try_no()))
            }
            "ECF_SCRIPT" | "TAKLER_SCRIPT" => {
                let ending = self.lookup(id, "ECF_EXTN").unwrap_or(Cow::Borrowed(".ecf"));
                file("ECF_HOME", ending.into_owned())
            }
            _ => return None,
        })
    }
}

fn repeat_variable<'a>(node: &Node, name: &str) -> Option<Cow<'a, str>> {
    let repeat = node.attributes.repeat.as_deref()?;
    match name.strip_prefix(&*repeat.name)? {
        "" => Some(repeat.text().into()),
        suffix => repeat.date_part(suffix).map(|part| part.to_string().into()),
    }
}

fn clock_variable(now: SuiteTime, name: &str) -> Option<String> {
    let (year, month, day) = now.date.civil();
    let weekday = now.date.weekday();
    let day_name = DAY_NAMES[usize::from(weekday) % 7];
    let month_name = MONTH_NAMES[usize::from(month).saturating_sub(1) % 12];
    let time = clock_text(now.minute_of_day());
    Some(match name {
        "ECF_DATE" => now.date.number().to_string(),
        "YYYY" => year.to_string(),
        "MM" => format!("{month:02}"),
        "DD" => format!("{day:02}"),
        "DOW" => weekday.to_string(),
        "DOY" => now.date.day_of_year().to_string(),
        "DATE" => format!("{day:02}.{month:02}.{year}"),
        "DAY" => day_name.to_owned(),
        "MONTH" => month_name.to_owned(),
        "ECF_TIME" => time,
        "TIME" => time.replace(':', ""),
        "ECF_CLOCK" => format!(
            "{day_name}:{month_name}:{weekday}:{}",
            now.date.day_of_year()
        ),
        "ECF_JULIAN" => now.date.julian().to_string(),
        _ => return None,
    })
}
