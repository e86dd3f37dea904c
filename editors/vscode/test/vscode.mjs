// A stub of the module `vscode` for tests: it records what the extension shows, and lets a test
// act as the editor. What it does not define accepts every use.

import Module from "node:module";
import { pathToFileURL } from "node:url";

/** A class, function and object at once, whose members are such things, too. */
function anything(name) {
  const members = new Map();
  class Anything {}
  return new Proxy(Anything, {
    get(target, key) {
      if (key === "prototype" || key in target) return target[key];
      // A promise must not take it for one.
      if (typeof key === "symbol" || key === "then") return undefined;
      if (!members.has(key)) members.set(key, anything(`${name}.${key}`));
      return members.get(key);
    },
    apply: () => new Disposable(),
  });
}

class Disposable {
  constructor(dispose = () => {}) {
    this.dispose = dispose;
  }
  static from(...list) {
    return new Disposable(() => list.forEach((it) => it.dispose()));
  }
}

class EventEmitter {
  listeners = new Set();
  event = (listener, self) => {
    const bound = listener.bind(self);
    this.listeners.add(bound);
    return new Disposable(() => this.listeners.delete(bound));
  };
  fire(event) {
    for (const listener of [...this.listeners]) listener(event);
  }
  dispose() {
    this.listeners.clear();
  }
}

class Position {
  constructor(line, character) {
    Object.assign(this, { line, character });
  }
}

class Range {
  constructor(...at) {
    const [start, end] = at.length === 4 ? [new Position(at[0], at[1]), new Position(at[2], at[3])] : at;
    Object.assign(this, { start, end });
  }
}

class Diagnostic {
  constructor(range, message, severity) {
    Object.assign(this, { range, message, severity });
  }
}

class CancellationTokenSource {
  emitter = new EventEmitter();
  token = { isCancellationRequested: false, onCancellationRequested: this.emitter.event };
  cancel() {
    this.token.isCancellationRequested = true;
    this.emitter.fire();
  }
  dispose() {}
}

class Uri {
  constructor(url) {
    this.url = url;
  }
  static parse(text) {
    return new Uri(new URL(text));
  }
  static file(path) {
    return new Uri(pathToFileURL(path));
  }
  static joinPath(base, name) {
    return new Uri(new URL(`${base.url}/${name}`));
  }
  get scheme() {
    return this.url.protocol.slice(0, -1);
  }
  get fsPath() {
    return decodeURIComponent(this.url.pathname);
  }
  get path() {
    return this.fsPath;
  }
  toString() {
    return this.url.href;
  }
}

/** The editor's state, for tests. */
export function makeEditor(folder) {
  const events = new Map();
  const event = (name) => {
    if (!events.has(name)) events.set(name, new EventEmitter());
    return events.get(name);
  };
  const editor = {
    settings: { path: "tce", "inlayHints.indices": true },
    /** The texts of output channels, and of error messages with their buttons. */
    output: "",
    errors: [],
    /** The button that the user presses next, and the file that the user chooses next. */
    answer: undefined,
    chosen: undefined,
    executed: [],
    commands: new Map(),
    /** By URI. */
    diagnostics: new Map(),
    /** By kind, as `FoldingRange`. */
    providers: new Map(),
    status: undefined,
    fire: (name, argument) => event(name).fire(argument),
    /** Changes a setting, as the user does. */
    set(key, value) {
      editor.settings[key] = value;
      const affectsConfiguration = (section) => `tce.${key}`.startsWith(section);
      event("onDidChangeConfiguration").fire({ affectsConfiguration });
    },
    /** Opens a document. */
    open(name, text) {
      const uri = Uri.file(`${folder}/${name}`);
      const document = { uri, languageId: "tce-idl", version: 1, getText: () => text, fileName: uri.fsPath, isClosed: false };
      editor.module.workspace.textDocuments.push(document);
      event("onDidOpenTextDocument").fire(document);
      return document;
    },
  };
  const channel = () => {
    const log = (...words) => (editor.output += `${words.join(" ")}\n`);
    const level = { logLevel: 3, onDidChangeLogLevel: new EventEmitter().event };
    return { ...level, append: log, appendLine: log, trace: log, debug: log, info: log, warn: log, error: log, show() {}, dispose() {} };
  };
  const defined = {
    Disposable, EventEmitter, Position, Range, Diagnostic, Uri, CancellationTokenSource,
    LanguageStatusSeverity: { Information: 0, Warning: 1, Error: 2 },
    ConfigurationTarget: { Global: 1, Workspace: 2, WorkspaceFolder: 3 },
    DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
    LogLevel: { Off: 0, Trace: 1, Debug: 2, Info: 3, Warning: 4, Error: 5 },
    version: "1.91.0",
    env: { appName: "stub", language: "en" },
    window: {
      createOutputChannel: channel,
      visibleTextEditors: [],
      tabGroups: { all: [], onDidChangeTabs: event("onDidChangeTabs").event },
      async showErrorMessage(message, ...buttons) {
        editor.errors.push([message, buttons]);
        return editor.answer;
      },
      showOpenDialog: async () => editor.chosen && [Uri.file(editor.chosen)],
    },
    workspace: {
      textDocuments: [],
      notebookDocuments: [],
      workspaceFolders: [{ uri: Uri.file(folder), name: "test", index: 0 }],
      getWorkspaceFolder: () => undefined,
      getConfiguration: (section) => ({
        get(key, initial) {
          if (section === "tce") return editor.settings[key] ?? initial;
          const inlayHints = { indices: editor.settings["inlayHints.indices"] };
          return key === "tce" ? { inlayHints } : initial;
        },
        async update(key, value) {
          editor.set(key, value);
        },
      }),
    },
    languages: {
      createLanguageStatusItem: () => (editor.status = { dispose() {} }),
      createDiagnosticCollection: () => ({
        set: (uri, list) => editor.diagnostics.set(uri.toString(), list),
        delete: (uri) => editor.diagnostics.delete(uri.toString()),
        clear: () => editor.diagnostics.clear(),
        has: (uri) => editor.diagnostics.has(uri.toString()),
        dispose() {},
      }),
      match: () => 10,
    },
    commands: {
      registerCommand(name, run) {
        editor.commands.set(name, run);
        return new Disposable(() => editor.commands.delete(name));
      },
      executeCommand: async (...call) => void editor.executed.push(call),
    },
  };
  /** An object with the defined members, all events, and anything else. */
  const filled = (name, members) =>
    new Proxy(members, {
      get(target, key) {
        if (key in target || typeof key === "symbol" || key === "then") return target[key];
        if (key.startsWith("on")) return (target[key] = event(key).event);
        if (key.startsWith("register")) {
          return (target[key] = (_selector, provider) => {
            editor.providers.set(key.slice("register".length).replace(/Provider$/, ""), provider);
            return new Disposable();
          });
        }
        return (target[key] = anything(`${name}.${key}`));
      },
    });
  for (const name of ["window", "workspace", "languages", "commands", "env"]) {
    defined[name] = filled(name, defined[name]);
  }
  editor.module = filled("vscode", defined);
  return editor;
}

/** Loads the bundle of the extension in an editor. */
export function load(editor, bundle) {
  const original = Module._load;
  Module._load = (request, ...rest) => (request === "vscode" ? editor.module : original(request, ...rest));
  try {
    const require = Module.createRequire(import.meta.url);
    delete require.cache[require.resolve(bundle)];
    return require(bundle);
  } finally {
    Module._load = original;
  }
}
