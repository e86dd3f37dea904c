//! What is wrong, as the client is told of it.

use std::collections::BTreeMap;

use ls_types::{
    DiagnosticRelatedInformation, DiagnosticSeverity, NumberOrString, PublishDiagnosticsParams,
    Range, Uri,
};
use tce_idl::{
    diagnostic::{Code, Diagnostic, Severity},
    source::SourceMap,
};

use crate::{convert, world::World};

/// What the client was told last, by file.
#[derive(Debug, Default)]
pub(crate) struct Board {
    told: BTreeMap<Uri, Vec<ls_types::Diagnostic>>,
}

impl Board {
    /// What has changed since the client was told. A file that is open shows
    /// what is said of it alone, any other what is said where it is imported.
    pub(crate) fn news(&mut self, world: &mut World) -> Vec<PublishDiagnosticsParams> {
        let current = current(world);
        let gone = self.told.keys().filter(|uri| !current.contains_key(*uri));
        let gone: Vec<_> = gone.map(|uri| (uri.clone(), Vec::new())).collect();
        let changed = current
            .iter()
            .filter(|(uri, list)| self.told.get(*uri) != Some(*list));
        let changed = changed.map(|(uri, list)| (uri.clone(), list.clone()));
        let news = changed.chain(gone).map(|(uri, diagnostics)| {
            let version = world.files.buffer(&uri).map(|buffer| buffer.version);
            PublishDiagnosticsParams::new(uri, diagnostics, version)
        });
        let news = news.collect();
        self.told = current;
        news
    }
}

/// What is to be said of each file; open files are all there.
fn current(world: &mut World) -> BTreeMap<Uri, Vec<ls_types::Diagnostic>> {
    let buffers = world.files.buffers();
    let open: Vec<Uri> = buffers.iter().map(|it| it.uri.clone()).collect();
    let mut all: BTreeMap<Uri, Vec<ls_types::Diagnostic>> = BTreeMap::new();
    for uri in &open {
        all.entry(uri.clone()).or_default();
        let Some(analysis) = world.opened(uri) else {
            continue;
        };
        let project = &analysis.project;
        let ours = analysis.diagnostics().map(|it| (it, analysis.sources()));
        let settings = project.mistakes.iter().map(|it| (it, &project.sources));
        for (diagnostic, sources) in ours.chain(settings) {
            let home = home(world, sources, diagnostic).unwrap_or_else(|| uri.clone());
            if home != *uri && open.contains(&home) {
                continue;
            }
            let told = told(world, sources, diagnostic);
            let list = all.entry(home).or_default();
            // Two open files may import a third one.
            if !list.contains(&told) {
                list.push(told);
            }
        }
    }
    all
}

/// The file that a diagnostic is about, if it has a place.
fn home(world: &World, sources: &SourceMap, diagnostic: &Diagnostic) -> Option<Uri> {
    let label = diagnostic.primary.as_ref()?;
    world.files.uri(sources.get(label.span.file).path())
}

/// A diagnostic as the client shows it. Without a place it is at the top of the file.
pub(crate) fn told(
    world: &World,
    sources: &SourceMap,
    diagnostic: &Diagnostic,
) -> ls_types::Diagnostic {
    let primary = diagnostic.primary.as_ref();
    let notes = diagnostic.notes.iter().filter_map(|note| {
        Some(DiagnosticRelatedInformation {
            location: world.location(sources, note.span)?,
            message: note.text.clone(),
        })
    });
    let notes: Vec<_> = notes.collect();
    ls_types::Diagnostic {
        range: primary.map_or(Range::default(), |it| convert::range(sources, it.span)),
        severity: Some(match diagnostic.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(diagnostic.code.id().to_owned())),
        source: Some("tce".to_owned()),
        message: message(diagnostic),
        related_information: (!notes.is_empty()).then_some(notes),
        tags: (diagnostic.code == Code::UnusedType)
            .then(|| vec![ls_types::DiagnosticTag::UNNECESSARY]),
        ..ls_types::Diagnostic::default()
    }
}

/// All that there is to say, a line for each thing.
fn message(diagnostic: &Diagnostic) -> String {
    let label = diagnostic.primary.as_ref().map(|label| label.text.as_str());
    let help = diagnostic.repair.as_ref().map(|it| it.message.as_str());
    let lines = [Some(diagnostic.message.as_str()), label, help];
    let lines: Vec<&str> = lines
        .into_iter()
        .flatten()
        .filter(|it| !it.is_empty())
        .collect();
    lines.join("\n")
}
