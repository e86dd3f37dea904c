//! The commands and flags of `takler_client`.

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagKind {
    /// A text.
    Text,
    /// `true` or `false`; without a value `true`.
    Switch {
        /// The value without the flag.
        default: bool,
    },
}

/// A flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) kind: FlagKind,
    pub(super) usage: &'static str,
    pub(super) is_required: bool,
}

/// A command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// One line for the list of commands.
    pub(super) summary: &'static str,
    /// The first paragraph of its own help, if that is not the summary.
    pub(super) description: Option<&'static str>,
    /// Its flags beside `--help`, by name.
    pub(super) flags: &'static [Flag],
    /// The least number of words beside the flags.
    pub(super) min_arguments: usize,
    /// Whether the help lists it.
    pub(super) is_listed: bool,
    /// Commands below it.
    pub(super) children: &'static [Self],
}

const fn text(name: &'static str, usage: &'static str) -> Flag {
    Flag {
        name,
        kind: FlagKind::Text,
        usage,
        is_required: false,
    }
}

const fn required(name: &'static str, usage: &'static str) -> Flag {
    Flag {
        is_required: true,
        ..text(name, usage)
    }
}

const fn switch(name: &'static str, default: bool, usage: &'static str) -> Flag {
    Flag {
        kind: FlagKind::Switch { default },
        ..text(name, usage)
    }
}

const HOST: Flag = text("host", "takler service host");
const PORT: Flag = text("port", "takler service port");
const NODE_PATH: Flag = text("node-path", "node path");
const FORCE: Flag = switch("force", false, "force run");

const fn command(
    name: &'static str,
    summary: &'static str,
    flags: &'static [Flag],
    min_arguments: usize,
) -> Command {
    Command {
        name,
        summary,
        description: None,
        flags,
        min_arguments,
        is_listed: true,
        children: &[],
    }
}

const fn unlisted(command: Command) -> Command {
    Command {
        is_listed: false,
        ..command
    }
}

const fn shell(name: &'static str, summary: &'static str) -> Command {
    command(name, summary, &[], 0)
}

/// The program as a whole.
pub(super) const PROGRAM: Command = Command {
    name: "takler_client",
    summary: "A CLI client for Takler.",
    description: None,
    flags: &[],
    min_arguments: 0,
    is_listed: true,
    children: &COMMANDS,
};

/// The commands by name.
const COMMANDS: [Command; 17] = [
    command(
        "abort",
        "mark task to aborted",
        &[HOST, NODE_PATH, PORT, text("reason", "abort reason")],
        0,
    ),
    unlisted(command(
        "begin",
        "begin the given flow, or all flows",
        &[
            switch("force", false, "begin an already begun flow again"),
            HOST,
            PORT,
        ],
        0,
    )),
    command(
        "complete",
        "mark task to complete",
        &[HOST, NODE_PATH, PORT],
        0,
    ),
    Command {
        children: &[
            shell("bash", "Generate the autocompletion script for bash"),
            shell("fish", "Generate the autocompletion script for fish"),
            shell(
                "powershell",
                "Generate the autocompletion script for powershell",
            ),
            shell("zsh", "Generate the autocompletion script for zsh"),
        ],
        description: Some(
            "Generate the autocompletion script for takler_client for the specified shell.\n\
            See each sub-command's help for details on how to use the generated script.\n",
        ),
        ..command(
            "completion",
            "Generate the autocompletion script for the specified shell",
            &[],
            0,
        )
    },
    command(
        "event",
        "change event",
        &[required("event-name", "event name"), HOST, NODE_PATH, PORT],
        0,
    ),
    unlisted(command(
        "force",
        "force nodes to a state",
        &[
            HOST,
            switch("no-recursive", false, "the given nodes alone"),
            PORT,
            switch("recursive", true, "with all nodes below"),
        ],
        2,
    )),
    unlisted(command(
        "free-dep",
        "free dependencies of given nodes",
        &[
            text("dep-type", "dependency type: all, time, trigger"),
            HOST,
            PORT,
        ],
        1,
    )),
    Command {
        description: Some(
            "Help provides help for any command in the application.\n\
            Simply type takler_client help [path to command] for full details.",
        ),
        ..command("help", "Help about any command", &[], 0)
    },
    command(
        "init",
        "mark task to active",
        &[HOST, NODE_PATH, PORT, required("task-id", "task id")],
        0,
    ),
    unlisted(command(
        "load",
        "load a flow from a file",
        &[
            text("flow-type", "flow file type: json, def"),
            switch("force", false, "replace a flow of the same name"),
            HOST,
            PORT,
        ],
        1,
    )),
    command(
        "meter",
        "change meter",
        &[
            HOST,
            required("meter-name", "meter name"),
            required("meter-value", "meter value"),
            NODE_PATH,
            PORT,
        ],
        0,
    ),
    command("ping", "ping server", &[HOST, PORT], 0),
    command("requeue", "requeue given nodes", &[HOST, PORT], 1),
    command("resume", "resume given nodes", &[HOST, PORT], 1),
    command(
        "run",
        "run the tasks, ignore triggers",
        &[FORCE, HOST, PORT],
        1,
    ),
    command(
        "show",
        "print state of all flows in server",
        &[
            HOST,
            PORT,
            switch(
                "show-all",
                false,
                "show all items, ignore other show options",
            ),
            switch("show-event", true, "show events"),
            switch("show-limit", true, "show limits"),
            switch("show-meter", true, "show meters"),
            switch("show-parameter", false, "show parameters"),
            switch("show-trigger", false, "show trigger"),
        ],
        0,
    ),
    command("suspend", "suspend given nodes", &[HOST, PORT], 1),
];

impl Command {
    /// The command of a name below this one.
    pub(super) fn child(&self, name: &str) -> Option<&'static Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The flag of a name, beside `--help`.
    pub(super) fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }
}
