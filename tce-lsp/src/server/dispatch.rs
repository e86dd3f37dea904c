//! Which feature answers which method.

use ls_types::{
    notification::{
        DidChangeTextDocument, DidChangeWatchedFiles, DidChangeWorkspaceFolders,
        DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument, Notification as _,
    },
    request::{
        CodeActionRequest, Completion, DocumentHighlightRequest, DocumentSymbolRequest, Formatting,
        GotoDefinition, HoverRequest, PrepareRenameRequest, References, Rename, Request,
        SemanticTokensFullRequest,
    },
};
use lsp_server::{ErrorCode, Notification, ResponseError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    feature::{
        actions, completion, definition, format, highlight, hover, outline, references, rename,
        semantic_tokens,
    },
    files::path_of,
    world::World,
};

/// Answers a request.
pub(super) fn request(
    world: &mut World,
    method: &str,
    params: Value,
) -> Result<Value, ResponseError> {
    match method {
        HoverRequest::METHOD => answer::<HoverRequest>(world, params, hover::hover),
        GotoDefinition::METHOD => answer::<GotoDefinition>(world, params, definition::definition),
        References::METHOD => answer::<References>(world, params, references::references),
        DocumentHighlightRequest::METHOD => {
            answer::<DocumentHighlightRequest>(world, params, highlight::highlight)
        }
        Completion::METHOD => answer::<Completion>(world, params, completion::completion),
        DocumentSymbolRequest::METHOD => {
            answer::<DocumentSymbolRequest>(world, params, outline::outline)
        }
        SemanticTokensFullRequest::METHOD => {
            answer::<SemanticTokensFullRequest>(world, params, semantic_tokens::tokens)
        }
        CodeActionRequest::METHOD => answer::<CodeActionRequest>(world, params, actions::actions),
        Formatting::METHOD => answer::<Formatting>(world, params, format::format),
        PrepareRenameRequest::METHOD => {
            answer::<PrepareRenameRequest>(world, params, rename::prepare)
        }
        Rename::METHOD => {
            let params = read(params)?;
            let edit = rename::rename(world, &params);
            write(edit.map_err(|why| error(ErrorCode::RequestFailed, why))?)
        }
        _ => {
            let why = format!("there is no `{method}`");
            Err(error(ErrorCode::MethodNotFound, why))
        }
    }
}

/// Answers a request of one kind, which can't fail once it is understood.
fn answer<R: Request>(
    world: &mut World,
    params: Value,
    feature: fn(&mut World, &R::Params) -> R::Result,
) -> Result<Value, ResponseError> {
    let params = read(params)?;
    write(feature(world, &params))
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

/// Takes in a notification, and says whether diagnostics may be others now.
/// One that is not known is passed over, as the protocol wants it.
pub(super) fn notification(
    world: &mut World,
    notification: Notification,
) -> Result<bool, serde_json::Error> {
    let Notification { method, params } = notification;
    match method.as_str() {
        DidOpenTextDocument::METHOD => {
            let params = params_of::<DidOpenTextDocument>(params)?;
            world.open(params.text_document);
        }
        DidChangeTextDocument::METHOD => {
            let params = params_of::<DidChangeTextDocument>(params)?;
            let document = params.text_document;
            world.change(&document.uri, document.version, params.content_changes);
        }
        DidCloseTextDocument::METHOD => {
            let params = params_of::<DidCloseTextDocument>(params)?;
            world.close(&params.text_document.uri);
        }
        DidSaveTextDocument::METHOD | DidChangeWatchedFiles::METHOD => world.forget_all(),
        DidChangeWorkspaceFolders::METHOD => {
            let event = params_of::<DidChangeWorkspaceFolders>(params)?.event;
            let removed: Vec<_> = event.removed.iter().map(|it| path_of(&it.uri)).collect();
            world.folders.retain(|folder| !removed.contains(folder));
            let added = event.added.iter().map(|it| path_of(&it.uri));
            world.folders.extend(added);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn params_of<N: ls_types::notification::Notification>(
    params: Value,
) -> Result<N::Params, serde_json::Error> {
    serde_json::from_value(params)
}
