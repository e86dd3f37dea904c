//! Maps the methods of the protocol to features.

use ls_types::{
    notification::{
        DidChangeConfiguration, DidChangeTextDocument, DidChangeWatchedFiles,
        DidChangeWorkspaceFolders, DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument,
        Notification as _,
    },
    request::{
        CodeActionRequest, Completion, DocumentHighlightRequest, DocumentSymbolRequest,
        FoldingRangeRequest, Formatting, GotoDefinition, HoverRequest, InlayHintRequest,
        PrepareRenameRequest, References, Rename, Request, SemanticTokensFullRequest,
        WorkspaceSymbolRequest,
    },
};
use lsp_server::{ErrorCode, Notification, ResponseError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    documents::path_of,
    feature::{
        actions, completion, folding, format, hover, inlay_hints, outline, references, rename,
        semantic_tokens, workspace_symbols,
    },
    workspace::{Change, Workspace},
};

/// Answers a request.
pub(super) fn request(
    workspace: &mut Workspace,
    method: &str,
    params: Value,
) -> Result<Value, ResponseError> {
    match method {
        HoverRequest::METHOD => answer::<HoverRequest>(workspace, params, hover::hover),
        GotoDefinition::METHOD => {
            answer::<GotoDefinition>(workspace, params, references::definition)
        }
        References::METHOD => answer::<References>(workspace, params, references::references),
        DocumentHighlightRequest::METHOD => {
            answer::<DocumentHighlightRequest>(workspace, params, references::highlight)
        }
        Completion::METHOD => answer::<Completion>(workspace, params, completion::completion),
        DocumentSymbolRequest::METHOD => {
            answer::<DocumentSymbolRequest>(workspace, params, outline::outline)
        }
        SemanticTokensFullRequest::METHOD => {
            answer::<SemanticTokensFullRequest>(workspace, params, semantic_tokens::tokens)
        }
        WorkspaceSymbolRequest::METHOD => {
            answer::<WorkspaceSymbolRequest>(workspace, params, workspace_symbols::symbols)
        }
        FoldingRangeRequest::METHOD => {
            answer::<FoldingRangeRequest>(workspace, params, folding::ranges)
        }
        InlayHintRequest::METHOD => {
            answer::<InlayHintRequest>(workspace, params, inlay_hints::hints)
        }
        CodeActionRequest::METHOD => {
            answer::<CodeActionRequest>(workspace, params, actions::actions)
        }
        Formatting::METHOD => answer::<Formatting>(workspace, params, format::format),
        PrepareRenameRequest::METHOD => {
            answer::<PrepareRenameRequest>(workspace, params, rename::prepare)
        }
        Rename::METHOD => {
            let params = read(params)?;
            let edit = rename::rename(workspace, &params);
            write(edit.map_err(|why| error(ErrorCode::RequestFailed, why))?)
        }
        _ => {
            let why = format!("the server does not support `{method}`");
            Err(error(ErrorCode::MethodNotFound, why))
        }
    }
}

/// Answers a request whose only errors are invalid parameters.
fn answer<R: Request>(
    workspace: &mut Workspace,
    params: Value,
    feature: fn(&mut Workspace, &R::Params) -> R::Result,
) -> Result<Value, ResponseError> {
    let params = read(params)?;
    write(feature(workspace, &params))
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, ResponseError> {
    serde_json::from_value(params).map_err(|why| error(ErrorCode::InvalidParams, why.to_string()))
}

fn write(result: impl serde::Serialize) -> Result<Value, ResponseError> {
    serde_json::to_value(result).map_err(|why| error(ErrorCode::InternalError, why.to_string()))
}

fn error(code: ErrorCode, message: String) -> ResponseError {
    ResponseError {
        code: code as i32,
        message,
        data: None,
    }
}

/// Handles a notification. Returns what it may have changed.
/// Ignores unknown notifications, as the protocol requires.
pub(super) fn notification(
    workspace: &mut Workspace,
    notification: Notification,
) -> Result<Change, serde_json::Error> {
    let Notification { method, params } = notification;
    Ok(match method.as_str() {
        DidOpenTextDocument::METHOD => {
            let params = params_of::<DidOpenTextDocument>(params)?;
            workspace.open(params.text_document)
        }
        DidChangeTextDocument::METHOD => {
            let params = params_of::<DidChangeTextDocument>(params)?;
            let document = params.text_document;
            workspace.change(&document.uri, document.version, params.content_changes)
        }
        DidCloseTextDocument::METHOD => {
            let params = params_of::<DidCloseTextDocument>(params)?;
            workspace.close(&params.text_document.uri)
        }
        DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => workspace.invalidate_all(),
        DidChangeWorkspaceFolders::METHOD => {
            let event = params_of::<DidChangeWorkspaceFolders>(params)?.event;
            let removed: Vec<_> = event.removed.iter().map(|it| path_of(&it.uri)).collect();
            workspace.folders.retain(|folder| !removed.contains(folder));
            let added = event.added.iter().map(|it| path_of(&it.uri));
            workspace.folders.extend(added);
            Change::Others
        }
        DidChangeConfiguration::METHOD => {
            let params = params_of::<DidChangeConfiguration>(params)?;
            workspace.settings.update(&params.settings);
            Change::Others
        }
        _ => Change::Nothing,
    })
}

fn params_of<N: ls_types::notification::Notification>(
    params: Value,
) -> Result<N::Params, serde_json::Error> {
    serde_json::from_value(params)
}
