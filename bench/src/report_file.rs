//! JSON reports in files: each says what it contains and in which version of the format.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A report that can be written to a file and read again.
pub(crate) trait Report: Serialize + DeserializeOwned {
    const KIND: ReportKind;
    /// Increases when a later program can't read the files of an earlier one.
    const VERSION: u32;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReportKind {
    #[serde(rename = "tce-bench rates")]
    Rates,
    #[serde(rename = "tce-bench counts")]
    Counts,
}

impl ReportKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Rates => "rates",
            Self::Counts => "counts",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    report: ReportKind,
    version: u32,
}

#[derive(Serialize)]
struct ReportFile<'a, R> {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    report: &'a R,
}

pub(crate) fn save<R: Report>(report: &R, path: &Path) -> Result<()> {
    let (kind, version) = (R::KIND, R::VERSION);
    let header = Header {
        report: kind,
        version,
    };
    let json = serde_json::to_string_pretty(&ReportFile { header, report })?;
    fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))
}

/// What the report in a file contains.
///
/// # Errors
/// The file can't be read, or is not a report.
pub(crate) fn kind(path: &Path) -> Result<ReportKind> {
    Ok(header(&read(path)?, path)?.report)
}

/// # Errors
/// The file can't be read, is not a report, or one of another kind or version.
pub(crate) fn load<R: Report>(path: &Path) -> Result<R> {
    let json = read(path)?;
    let Header { report, version } = header(&json, path)?;
    let path = path.display();
    ensure!(
        report == R::KIND,
        "{path} is a report of {}, which can't be compared with {}",
        report.name(),
        R::KIND.name()
    );
    let known = R::VERSION;
    ensure!(
        version == known,
        "{path} is a report of format version {version}, and this program reads version {known}: \
         make both runs with the same version of the benchmark"
    );
    serde_json::from_str(&json).with_context(|| format!("{path} is a damaged report"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn header(json: &str, path: &Path) -> Result<Header> {
    serde_json::from_str(json).with_context(|| {
        format!(
            "{} is not a report that this benchmark has written with --json",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Rates {
        calls: u32,
    }

    impl Report for Rates {
        const KIND: ReportKind = ReportKind::Rates;
        const VERSION: u32 = 2;
    }

    /// Loads a file with this text.
    fn loaded(json: &str) -> Result<Rates> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, json).unwrap();
        load(&path)
    }

    #[track_caller]
    fn assert_refused(json: &str, reason: &str) {
        let error = format!("{:#}", loaded(json).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_saved_report_can_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        save(&Rates { calls: 7 }, &path).unwrap();
        assert_eq!(kind(&path).unwrap(), ReportKind::Rates);
        assert_eq!(load::<Rates>(&path).unwrap().calls, 7);
    }

    #[test]
    fn files_that_are_not_reports_are_refused() {
        for json in [
            "",
            "[1]",
            "{\"cases\": []}",
            "{\"report\": \"x\", \"version\": 2}",
        ] {
            assert_refused(json, "is not a report that this benchmark has written");
        }
        assert!(load::<Rates>(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn reports_of_another_kind_or_version_are_refused() {
        let of = |kind, version| {
            format!("{{\"report\": \"tce-bench {kind}\", \"version\": {version}, \"calls\": 7}}")
        };
        assert!(loaded(&of("rates", 2)).is_ok());
        assert_refused(
            &of("counts", 2),
            "is a report of counts, which can't be compared with rates",
        );
        assert_refused(
            &of("rates", 1),
            "format version 1, and this program reads version 2",
        );
    }

    #[test]
    fn a_report_without_its_content_is_damaged() {
        assert_refused(
            "{\"report\": \"tce-bench rates\", \"version\": 2}",
            "is a damaged report",
        );
    }
}
