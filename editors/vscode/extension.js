// Starts the language server `tce lsp`.

const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const command = workspace.getConfiguration("tce").get("path", "tce");
  const server = { command, args: ["lsp"] };
  client = new LanguageClient("tce", "TCE IDL", server, {
    documentSelector: [{ language: "tce-idl" }],
    // The files that the diagnostics of an .idl file depend on.
    synchronize: {
      fileEvents: workspace.createFileSystemWatcher(
        "**/{*.idl,tce.toml,tce.lock,ifx-index-list.txt,ifx-index-list.xml}",
      ),
    },
  });
  await client.start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
