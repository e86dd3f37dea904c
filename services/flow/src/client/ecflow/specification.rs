//! The options of `ecflow_client`: commands, and settings of each call.

/// Who uses a command, as the help says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Jobs.
    Child,
    /// Operators, and settings.
    User,
}

/// How many values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// None.
    None,
    /// None or one.
    Optional,
    /// One.
    One,
    /// One or more, up to the next option.
    Many,
}

/// An option.
#[derive(Debug)]
pub(super) struct Specification {
    pub(super) name: &'static str,
    pub(super) audience: Audience,
    pub(super) values: Values,
    /// One line.
    pub(super) summary: &'static str,
    /// Arguments and examples, line by line.
    pub(super) usage: &'static str,
}

impl Specification {
    /// Whether it is a setting of a call, not a command.
    pub(super) fn is_setting(&self) -> bool {
        matches!(
            self.name,
            "host" | "port" | "user" | "rid" | "ssl" | "debug" | "add" | "remove"
        )
    }
}

/// The option of exactly this name.
pub(super) fn find(name: &str) -> Option<&'static Specification> {
    ALL.iter().find(|option| option.name == name)
}

/// Commands of ecFlow that need services which this server does not have.
pub(super) const UNSUPPORTED: [&str; 26] = [
    "archive",
    "ch_add",
    "ch_auto_add",
    "ch_drop",
    "ch_drop_user",
    "ch_register",
    "ch_rem",
    "ch_suites",
    "debug_server_off",
    "debug_server_on",
    "edit_history",
    "force-dep-eval",
    "migrate",
    "news",
    "password",
    "plug",
    "queue",
    "reloadcustompasswdfile",
    "reloadpasswdfile",
    "restore",
    "restore_from_checkpt",
    "server_load",
    "stats_server",
    "sync",
    "sync_clock",
    "sync_full",
];

const fn child(
    name: &'static str,
    values: Values,
    summary: &'static str,
    usage: &'static str,
) -> Specification {
    Specification {
        name,
        audience: Audience::Child,
        values,
        summary,
        usage,
    }
}

const fn user(
    name: &'static str,
    values: Values,
    summary: &'static str,
    usage: &'static str,
) -> Specification {
    Specification {
        audience: Audience::User,
        ..child(name, values, summary, usage)
    }
}

/// All options by name.
#[rustfmt::skip]
pub(super) static ALL: [Specification; 62] = [
    child("abort", Values::Optional, "Tells that the job has failed", "\
  arg1 = (optional) the reason
  --abort=trap"),
    user("add", Values::Many, "With --init: variables of the task, as name=value", "\
  --init=$$ --add X=1 Y='a b'"),
    user("alter", Values::Many, "Changes attributes of nodes, or variables of the server", "\
  arg1 = add | change | delete | set_flag | clear_flag
  arg2 = variable, trigger, complete, event, meter, label, limit, limit_max, inlimit, defstatus,
         repeat, time, today, cron, date, day, late, clock, autocancel, zombie; or a flag
  arg3 = name or value, where the attribute has one
  arg4 = new value
  arg5 = paths; / for variables of the server
  --alter=add variable FRED \"a value\" /s /s/f
  --alter=change meter step 20 /s/t
  --alter=delete time 10:00 /s/t
  --alter=set_flag late /s/t"),
    user("begin", Values::Optional, "Starts a suite, or all suites", "\
  arg1 = (optional) name of a suite, --force to start again what has begun
  --begin
  --begin=s
  --begin=\"s --force\""),
    user("check", Values::Many, "Checks expressions and limits of nodes", "\
  arg1 = _all_, or paths
  --check=_all_
  --check=/s /s/f"),
    user("checkJobGenOnly", Values::Optional, "Makes the jobs of a node without starting them", "\
  arg1 = (optional) path
  --checkJobGenOnly=/s"),
    user("check_pt", Values::Optional, "Writes a snapshot now", "\
  arg1 = (optional) a mode of ecFlow, which changes nothing: every command is durable anyway
  --check_pt"),
    child("complete", Values::None, "Tells that the job is done", "\
  --complete
  --complete --remove X Y"),
    user("debug", Values::None, "Shows which server is called, and how", "\
  --debug --ping"),
    user("delete", Values::Many, "Deletes nodes, or all suites", "\
  arg1 = (optional) force, although tasks are submitted or active
  arg2 = (optional) yes, without a question
  arg3 = paths, or _all_
  --delete=/s/f/t
  --delete=force yes /s1 /s2"),
    user("edit_script", Values::Many, "Shows the script of a task, or submits another one once", "\
  arg1 = path
  arg2 = edit | pre_process | submit | submit_file
  arg3 = file, for submit and submit_file
  --edit_script=/s/t edit > t.ecf
  --edit_script=/s/t submit_file t.ecf"),
    child("event", Values::Many, "Sets or clears an event of the task", "\
  arg1 = name or number
  arg2 = (optional) set | clear
  --event=half
  --event=half clear"),
    user("file", Values::Many, "Shows a file of a task", "\
  arg1 = path
  arg2 = (optional) script | job | jobout | manual | kill | stat; script without it
  arg3 = (optional) the last lines, up to 10000
  --file=/s/t jobout 100"),
    user("force", Values::Many, "Sets states of nodes, or events", "\
  arg1 = unknown | complete | queued | submitted | active | aborted | set | clear
  arg2 = (optional) recursive, for all nodes below
  arg3 = (optional) full, with repeats at their last values
  arg4 = paths; path:event for set and clear
  --force=complete /s/t1 /s/t2
  --force=complete recursive /s/f
  --force=clear /s/t:half"),
    user("free-dep", Values::Many, "Frees nodes of what they wait for", "\
  arg1 = (optional) trigger | all | date | time; trigger without it
  arg2 = paths
  --free-dep=/s/t
  --free-dep=all /s/f"),
    user("get", Values::Optional, "Shows a definition that can be loaded again", "\
  arg1 = (optional) path
  --get
  --get=/s"),
    user("get_state", Values::Optional, "Shows a definition with its state as comments", "\
  arg1 = (optional) path
  --get_state=/s"),
    user("group", Values::One, "Several commands in order, until the first that is refused", "\
  arg1 = commands without their dashes, with ; between them
  --group=\"halt=yes; reloadwsfile; restart\"
  --group=\"get=/s; show state\""),
    user("halt", Values::Optional, "Starts no jobs, and lets jobs wait that call", "\
  arg1 = (optional) yes, without a question
  --halt=yes"),
    user("help", Values::Optional, "Describes commands", "\
  arg1 = (optional) all | summary | child | user | a command"),
    user("host", Values::Optional, "Host of the server, in place of ECF_HOST and localhost", "\
  --host=machine --ping"),
    child("init", Values::One, "Tells that the job runs", "\
  arg1 = id of the process, or of the job in a queueing system
  --init=$$
  --init=$$ --add X=1"),
    user("job_gen", Values::Optional, "Submits what is free at and below a node", "\
  arg1 = (optional) path; nothing waits for it: the server submits in the step that frees a task
  --job_gen=/s"),
    user("kill", Values::Many, "Kills the jobs at and below nodes", "\
  arg1 = paths
  --kill=/s/t1 /s/f"),
    child("label", Values::Many, "Sets a label of the task", "\
  arg1 = name
  arg2 = text; further words are lines
  --label=info \"half of it\""),
    user("load", Values::Many, "Loads suites from a file", "\
  arg1 = file
  arg2 = (optional) force | check_only | print | stats
  --load=s.def
  --load=s.def force
  --load=s.def check_only"),
    user("log", Values::Many, "Shows or changes the log of the server", "\
  arg1 = get | path | new | clear | flush
  arg2 = the last lines for get, 100 without it; a file for new
  --log=get 200"),
    child("meter", Values::Many, "Sets a meter of the task", "\
  arg1 = name
  arg2 = value
  --meter=step 20"),
    user("msg", Values::One, "Writes a text to the log of the server", "\
  --msg=\"disk is being replaced\""),
    user("order", Values::Many, "Changes the order of a node's siblings", "\
  arg1 = path
  arg2 = top | bottom | alpha | order | up | down
  --order=/s/t top"),
    user("ping", Values::None, "Checks that the server answers", "\
  --ping
  --ping --host=machine --port=3144"),
    user("port", Values::Optional, "Port of the server, in place of ECF_PORT and 3141", "\
  --port=3144 --ping"),
    user("query", Values::Many, "Asks for one value", "\
  arg1 = state | dstate | repeat | event | meter | limit | limit_max | label | variable | trigger
  arg2 = path, or path:name
  arg3 = expression for trigger; next or prev for repeat
  --query state /s
  --query variable /s/t:ECF_HOME
  --query trigger /s/t \"t1 == complete\""),
    user("reloadwsfile", Values::None, "Reads the white list again", "\
  --reloadwsfile"),
    user("remove", Values::Many, "With --complete: variables of the task to remove", "\
  --complete --remove X Y"),
    user("replace", Values::Many, "Puts a node of a file in place of that of the server", "\
  arg1 = path
  arg2 = file
  arg3 = (optional) parent, to add missing parents; false
  arg4 = (optional) force, although tasks are submitted or active
  --replace=/s/f s.def
  --replace=/s/f s.def parent force"),
    user("requeue", Values::Many, "Puts nodes back to their default states", "\
  arg1 = (optional) abort, aborted tasks alone; force, although tasks are submitted or active
  arg2 = paths
  --requeue=/s/f
  --requeue=abort /s"),
    user("restart", Values::None, "Starts jobs again, and answers them", "\
  --restart"),
    user("resume", Values::Many, "Lets suspended nodes go on", "\
  arg1 = paths
  --resume=/s/f /s/t"),
    user("rid", Values::Optional, "Id of the job, in place of ECF_RID", "\
  --rid=4711 --complete"),
    user("run", Values::Many, "Submits tasks at once, whatever they wait for", "\
  arg1 = (optional) force, although tasks are submitted or active
  arg2 = paths
  --run=/s/t
  --run=force /s/f"),
    user("server_version", Values::None, "The version of ecFlow that the server stands in for", "\
  --server_version"),
    user("show", Values::Optional, "Shows a definition; in a group what `get` has named", "\
  arg1 = (optional) defs | state
  --show
  --group=\"get=/s; show state\""),
    user("shutdown", Values::Optional, "Starts no jobs", "\
  arg1 = (optional) yes, without a question
  --shutdown=yes"),
    user("ssl", Values::None, "Calls over TLS, as with ECF_SSL", "\
  --ssl --ping"),
    user("stats", Values::None, "Shows what the server does, and how often", "\
  --stats"),
    user("stats_reset", Values::None, "Counts anew what --stats shows", "\
  --stats_reset"),
    user("status", Values::Many, "Asks for the status of the jobs at and below nodes", "\
  arg1 = paths
  --status=/s/t
  --file=/s/t stat"),
    user("suites", Values::None, "Lists the suites", "\
  --suites"),
    user("suspend", Values::Many, "Holds nodes: no job at or below them is started", "\
  arg1 = paths
  --suspend=/s/f /s/t"),
    user("terminate", Values::Optional, "Ends the server; jobs go on", "\
  arg1 = (optional) yes, without a question
  --terminate=yes"),
    user("user", Values::One, "User who calls, in place of one's own name", "\
  --user=fred --ping"),
    user("version", Values::None, "The version of this client", "\
  --version"),
    child("wait", Values::One, "Returns when an expression is true", "\
  arg1 = expression
  --wait=\"/s/t1 == complete\""),
    user("why", Values::Optional, "Tells why nodes do not run", "\
  arg1 = (optional) path
  --why=/s/t
  --group=\"get; why\""),
    user("zombie_adopt", Values::Many, "Makes zombies the jobs of their tasks", ZOMBIE_USAGE),
    user("zombie_block", Values::Many, "Holds the calls of zombies", ZOMBIE_USAGE),
    user("zombie_fail", Values::Many, "Refuses the calls of zombies", ZOMBIE_USAGE),
    user("zombie_fob", Values::Many, "Answers zombies with success, without effect", ZOMBIE_USAGE),
    user("zombie_get", Values::None, "Lists zombies", "\
  --zombie_get"),
    user("zombie_kill", Values::Many, "Kills zombies", ZOMBIE_USAGE),
    user("zombie_remove", Values::Many, "Forgets zombies until they call again", ZOMBIE_USAGE),
];

const ZOMBIE_USAGE: &str = "\
  arg1 = paths of tasks
  --zombie_fob=/s/t1 /s/t2";
