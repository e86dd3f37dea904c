//! Diagnostics as the client shows them.

use std::collections::BTreeMap;

use ls_types::{
    DiagnosticRelatedInformation, DiagnosticSeverity, NumberOrString, PublishDiagnosticsParams,
    Range, Uri,
};
use tce_idl::{
    diagnostic::{Code, Diagnostic, Severity},
    source::SourceMap,
};

use crate::{documents, workspace::Workspace};

/// The diagnostics that were published last, by file.
#[derive(Debug, Default)]
pub(crate) struct PublishedDiagnostics {
    by_file: BTreeMap<Uri, Vec<ls_types::Diagnostic>>,
}

impl PublishedDiagnostics {
    /// The diagnostics that have changed since they were published. An open file
    /// shows those of its own compilation, any other file those of the
    /// compilations that import it.
    pub(crate) fn update(&mut self, workspace: &mut Workspace) -> Vec<PublishDiagnosticsParams> {
        let current = current(workspace);
        let outdated = self
            .by_file
            .keys()
            .filter(|uri| !current.contains_key(*uri));
        let outdated: Vec<_> = outdated.map(|uri| (uri.clone(), Vec::new())).collect();
        let changed = current
            .iter()
            .filter(|(uri, list)| self.by_file.get(*uri) != Some(*list));
        let changed = changed.map(|(uri, list)| (uri.clone(), list.clone()));
        let updates = changed.chain(outdated).map(|(uri, diagnostics)| {
            let version = workspace
                .documents
                .document(&uri)
                .map(|document| document.version);
            PublishDiagnosticsParams::new(uri, diagnostics, version)
        });
        let updates = updates.collect();
        self.by_file = current;
        updates
    }
}

/// The current diagnostics by file, with an entry for every open file.
fn current(workspace: &mut Workspace) -> BTreeMap<Uri, Vec<ls_types::Diagnostic>> {
    let documents = workspace.documents.documents();
    let open: Vec<Uri> = documents.iter().map(|it| it.uri.clone()).collect();
    let mut all: BTreeMap<Uri, Vec<ls_types::Diagnostic>> = BTreeMap::new();
    for uri in &open {
        all.entry(uri.clone()).or_default();
        let Some(analysis) = workspace.opened(uri) else {
            continue;
        };
        let project = &analysis.project;
        let ours = analysis.diagnostics().map(|it| (it, analysis.sources()));
        let settings = project.mistakes.iter().map(|it| (it, &project.sources));
        for (diagnostic, sources) in ours.chain(settings) {
            let target = file_of(workspace, sources, diagnostic).unwrap_or_else(|| uri.clone());
            if target != *uri && open.contains(&target) {
                continue;
            }
            let converted = to_lsp(workspace, sources, diagnostic);
            let list = all.entry(target).or_default();
            // Two open files may import the same third one.
            if !list.contains(&converted) {
                list.push(converted);
            }
        }
    }
    all
}

/// The file of a diagnostic, if it has a position.
fn file_of(workspace: &Workspace, sources: &SourceMap, diagnostic: &Diagnostic) -> Option<Uri> {
    let label = diagnostic.primary.as_ref()?;
    workspace.documents.uri(sources.get(label.span.file).path())
}

/// Converts a diagnostic. Without a position it is shown at the top of the file.
pub(crate) fn to_lsp(
    workspace: &Workspace,
    sources: &SourceMap,
    diagnostic: &Diagnostic,
) -> ls_types::Diagnostic {
    let primary = diagnostic.primary.as_ref();
    let notes = diagnostic.notes.iter().filter_map(|note| {
        Some(DiagnosticRelatedInformation {
            location: workspace.location(sources, note.span)?,
            message: note.text.clone(),
        })
    });
    let notes: Vec<_> = notes.collect();
    ls_types::Diagnostic {
        range: primary.map_or(Range::default(), |it| documents::range(sources, it.span)),
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

/// The message, the label and the advice, each on its own line.
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
