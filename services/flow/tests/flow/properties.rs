//! Properties of random suites under random commands, and of random texts.

use proptest::collection::vec;
use proptest::prelude::*;
use tce_flow::attribute::ZombieAction;
use tce_flow::calendar::Moment;
use tce_flow::def::{self, Code, Style, print};
use tce_flow::expression::Expression;
use tce_flow::machine::{
    AlterAction, Attribute, ChildCall, Command, ForceTarget, FreeKind, JobIdentity, Machine, Order,
    Record, RequeueMode, ServerState,
};
use tce_flow::state::State;
use tce_flow::tree::{Kind, NodeId, Tree};

use crate::common::Simulation;

/// A suite with every kind of dependency; paths in commands are drawn from it.
const SUITE: &str = "
suite s
  limit lim 2
  limit one 1
  repeat integer N 1 3
  family f
    inlimit lim
    task a
      event e
      meter m 0 10
      label l ''
    task b
      trigger a == complete or a:e
    task c
      trigger a:m gt 5 and b != aborted
      inlimit one 1
    task d
      complete a:e
      time 12:05 12:20 00:05
  endfamily
  family g
    trigger f/a == complete
    repeat string W x y
    inlimit -n one
    task p
      inlimit -s lim
    task q
      defstatus suspended
    family h
      complete ../f/d == aborted
      task r
        late -s +00:02
        cron +00:03
      task t
        autocancel +00:10
        trigger :N == 2 or ../../f<flag>late
    endfamily
  endfamily
endsuite
suite k
  task u
    trigger /s == complete or /s/f/c:nosuch == 0
    defstatus complete
  task w
    edit ECF_DUMMY_TASK 1
    day monday
endsuite
extern /s/f/c:nosuch
";

const PATHS: [&str; 17] = [
    "/s", "/s/f", "/s/f/a", "/s/f/b", "/s/f/c", "/s/f/d", "/s/g", "/s/g/p", "/s/g/q", "/s/g/h",
    "/s/g/h/r", "/s/g/h/t", "/k", "/k/u", "/k/w", "/nosuch", "/",
];

/// What a test does next. Calls of jobs are completed with the passwords that jobs have.
#[derive(Debug, Clone)]
enum Action {
    Pass(i64),
    Call {
        path: usize,
        call: ChildCall,
        is_stranger: bool,
    },
    Order(Command),
}

fn path() -> impl Strategy<Value = usize> {
    0..PATHS.len()
}

fn paths() -> impl Strategy<Value = Vec<Box<str>>> {
    vec(path(), 1..3).prop_map(|paths| paths.into_iter().map(|at| PATHS[at].into()).collect())
}

fn state() -> impl Strategy<Value = State> {
    proptest::sample::select(State::BY_SIGNIFICANCE.to_vec())
}

fn call() -> impl Strategy<Value = ChildCall> {
    prop_oneof![
        4 => Just(ChildCall::Started(vec![("V".into(), "1".into())])),
        4 => Just(ChildCall::Completed(vec!["V".into()])),
        2 => Just(ChildCall::Aborted("trap".into())),
        1 => any::<bool>().prop_map(|value| ChildCall::Event("e".into(), value)),
        1 => (-2..12).prop_map(|value| ChildCall::Meter("m".into(), value)),
        1 => Just(ChildCall::Label("l".into(), "text".into())),
        1 => Just(ChildCall::Wait("a == complete".into())),
    ]
}

fn order() -> impl Strategy<Value = Command> {
    let requeue = [
        RequeueMode::Idle,
        RequeueMode::Aborted,
        RequeueMode::Force,
        RequeueMode::Begin,
    ];
    let orders = [
        Order::Top,
        Order::Bottom,
        Order::Alphabetical,
        Order::Backwards,
        Order::Up,
        Order::Down,
    ];
    let zombies = [
        ZombieAction::Fob,
        ZombieAction::Fail,
        ZombieAction::Adopt,
        ZombieAction::Remove,
    ];
    let free = [
        FreeKind::Trigger,
        FreeKind::Time,
        FreeKind::Date,
        FreeKind::All,
    ];
    let server = [
        ServerState::Running,
        ServerState::Running,
        ServerState::Shutdown,
        ServerState::Halted,
    ];
    prop_oneof![
        (paths(), proptest::sample::select(requeue.to_vec()))
            .prop_map(|(paths, mode)| Command::Requeue { paths, mode }),
        paths().prop_map(Command::Suspend),
        paths().prop_map(Command::Resume),
        (paths(), state(), any::<bool>(), any::<bool>()).prop_map(
            |(paths, state, is_recursive, is_full)| Command::Force {
                paths,
                target: ForceTarget::State(state),
                is_recursive,
                is_full
            }
        ),
        (paths(), proptest::sample::select(free.to_vec()))
            .prop_map(|(paths, kind)| Command::Free { paths, kind }),
        (paths(), proptest::sample::select(zombies.to_vec()))
            .prop_map(|(paths, action)| Command::Zombies { paths, action }),
        (path(), proptest::sample::select(orders.to_vec())).prop_map(|(path, order)| {
            Command::Order {
                path: PATHS[path].into(),
                order,
            }
        }),
        proptest::sample::select(server.to_vec()).prop_map(Command::Server),
        paths().prop_map(Command::Kill),
        (paths(), any::<bool>()).prop_map(|(paths, force)| Command::Run { paths, force }),
        (paths(), any::<bool>()).prop_map(|(paths, force)| Command::Delete { paths, force }),
        any::<bool>().prop_map(|force| Command::Load {
            text: SUITE.into(),
            force
        }),
        any::<bool>().prop_map(|force| Command::Begin {
            suites: Vec::new(),
            force
        }),
        (path(), any::<bool>(), any::<bool>()).prop_map(|(path, parents, force)| {
            Command::Replace {
                path: PATHS[path].into(),
                text: SUITE.into(),
                parents,
                force,
            }
        }),
        (paths(), 0..4_u32).prop_map(|(paths, max)| Command::Alter {
            paths,
            action: AlterAction::Change {
                attribute: Attribute::LimitMax,
                name: "lim".into(),
                value: max.to_string().into()
            }
        }),
        paths().prop_map(|paths| Command::Alter {
            paths,
            action: AlterAction::Add("time +00:01".into())
        }),
        paths().prop_map(|paths| Command::Alter {
            paths,
            action: AlterAction::Delete {
                attribute: Attribute::Trigger,
                name: "".into()
            }
        }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => (1..5_i64).prop_map(Action::Pass),
        6 => (path(), call(), proptest::bool::weighted(0.1))
            .prop_map(|(path, call, is_stranger)| Action::Call { path, call, is_stranger }),
        3 => order().prop_map(Action::Order),
    ]
}

fn perform(simulation: &mut Simulation, action: &Action) {
    match action {
        Action::Pass(minutes) => simulation.pass(*minutes),
        Action::Order(command) => {
            let _ = simulation.apply(command.clone());
        }
        Action::Call {
            path,
            call,
            is_stranger,
        } => {
            let path = PATHS[*path];
            let job = match simulation.machine.tree().find(path) {
                Some(_) if !is_stranger => simulation.job(path),
                _ => JobIdentity {
                    path: path.into(),
                    rid: "9".into(),
                    ..JobIdentity::default()
                },
            };
            let _ = simulation.apply(Command::Child(job, call.clone()));
        }
    }
}

/// The states of containers are those that their children say.
fn check_states(tree: &Tree) {
    for id in tree.subtree(NodeId::ROOT) {
        let Some(container) = tree[id].container() else {
            continue;
        };
        let states = container.children.iter().map(|child| tree[*child].state);
        let rank = |state: State| State::BY_SIGNIFICANCE.iter().position(|one| *one == state);
        if let Some(expected) = states.max_by_key(|state| rank(*state)) {
            assert_eq!(tree[id].state, expected, "{}", tree.path(id));
        }
        for child in &container.children {
            assert_eq!(tree[*child].parent, id);
            assert_eq!(container.names[&tree[*child].name], *child);
        }
    }
}

/// Tokens are held by running tasks alone, and never more than there are.
fn check_limits(simulation: &Simulation, is_max_checked: bool) {
    let tree = simulation.machine.tree();
    for id in tree.subtree(NodeId::ROOT) {
        for limit in tree[id].attributes.limits() {
            assert!(
                !is_max_checked || limit.used() <= u64::from(limit.max),
                "{}",
                limit.name
            );
            for path in limit.holders.keys() {
                let node = tree
                    .find(path)
                    .unwrap_or_else(|| panic!("{path} holds, and is gone"));
                let mut below = tree.subtree(node).into_iter();
                assert!(
                    below.any(|id| tree[id].kind() == Kind::Task && tree[id].state.is_running()),
                    "{path} holds, and does not run"
                );
            }
        }
    }
}

/// Nothing waits that could run: a check of the whole tree finds nothing to do.
fn check_nothing_is_left(simulation: &mut Simulation) {
    if simulation.machine.server() != ServerState::Running {
        return;
    }
    let command = Command::Server(ServerState::Running);
    let record = Record {
        sequence: 0,
        moment: Moment::utc(simulation.now),
        user: "".into(),
        secret: [0; 16],
        command,
    };
    let mut machine = simulation.machine.clone();
    let applied = machine.apply(&record).unwrap();
    assert!(applied.effects.is_empty(), "{:?}", applied.effects);
}

proptest! {
    // A quarter of PROPTEST_CASES, which is 256 by default.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_commands_keep_every_invariant(actions in vec(action(), 1..60)) {
        let mut simulation = Simulation::begun(SUITE);
        let mut is_max_checked = true;
        for action in &actions {
            perform(&mut simulation, action);
            // An operator may lower a limit below what is held, and run tasks that it holds back.
            is_max_checked &= !matches!(action, Action::Order(Command::Alter { .. } | Command::Force { .. } | Command::Run { .. }));
            check_states(simulation.machine.tree());
            check_limits(&simulation, is_max_checked);
        }
        check_nothing_is_left(&mut simulation);
        let text = print(simulation.machine.tree(), NodeId::ROOT, Style::State);
        // What expressions name may have been deleted; all else can be loaded again.
        let parsed = def::parse(&text);
        let is_dangling = |code| matches!(code, Code::UnknownNode | Code::UnknownAttribute | Code::UnknownLimit);
        let others = parsed.diagnostics.iter().filter(|found| !is_dangling(found.code));
        prop_assert_eq!(others.count(), 0, "{}", text);
    }

    #[test]
    fn a_journal_replays_to_the_same_state(actions in vec(action(), 1..60), cut in 0..60_usize) {
        let mut simulation = Simulation::begun(SUITE);
        for action in &actions {
            perform(&mut simulation, action);
        }
        let mut replayed = Machine::default();
        for (at, record) in simulation.journal.iter().enumerate() {
            let record = Record::decode(&record.encode().unwrap()).unwrap();
            replayed.apply(&record).unwrap();
            if at == cut {
                // A restart from a snapshot in between makes no difference.
                replayed = Machine::restore(&replayed.snapshot().unwrap()).unwrap();
            }
        }
        // Ticks that change nothing are not in the journal: one more sets both clocks.
        let tick = Record {
            sequence: simulation.sequence + 1,
            moment: Moment::utc(simulation.now),
            user: "".into(),
            secret: [0; 16],
            command: Command::Tick,
        };
        let (one, other) = (replayed.apply(&tick), simulation.machine.apply(&tick));
        prop_assert_eq!(one, other);
        prop_assert!(replayed == simulation.machine);
        prop_assert_eq!(replayed.snapshot().unwrap(), simulation.machine.snapshot().unwrap());
    }

    #[test]
    fn random_texts_do_not_end_the_parsers(text in "\\PC{0,200}") {
        let parsed = def::parse(&text);
        let _ = def::render(&parsed.diagnostics, "x", &text);
        let _ = Expression::parse(&text);
    }

    #[test]
    fn random_statements_do_not_end_the_parser(words in vec(word(), 0..60)) {
        let text = words.concat();
        let parsed = def::parse(&text);
        let _ = def::render(&parsed.diagnostics, "x", &text);
        if !parsed.has_errors() {
            check_round_trip(parsed.definition)?;
        }
    }

    #[test]
    fn rendered_expressions_mean_the_same(text in expression(4)) {
        let parsed = Expression::parse(&text).unwrap();
        let rendered = parsed.render(parsed.condition()).to_string();
        let again = Expression::parse(&rendered).unwrap();
        prop_assert_eq!(parsed.condition(), again.condition(), "{} as {}", text, rendered);
    }

    #[test]
    fn definitions_survive_printing(text in definition()) {
        let parsed = def::parse(&text);
        prop_assert!(!parsed.has_errors(), "{}\n{:?}", text, parsed.diagnostics);
        check_round_trip(parsed.definition)?;
    }

    #[test]
    fn damaged_records_are_errors(bytes in vec(any::<u8>(), 0..100)) {
        let _ = Record::decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend(bytes);
        let _ = Record::decode(&versioned);
        let _ = Machine::restore(&versioned);
    }
}

fn check_round_trip(definition: tce_flow::tree::Definition) -> Result<(), TestCaseError> {
    let mut tree = Tree::default();
    let expected = definition.suites.clone();
    tree.externs = definition.externs;
    for suite in definition.suites {
        tree.attach(NodeId::ROOT, suite);
    }
    let text = print(&tree, NodeId::ROOT, Style::Definition);
    let parsed = def::parse(&text);
    prop_assert!(!parsed.has_errors(), "{}", text);
    let mut again = Tree::default();
    again.externs = parsed.definition.externs;
    for suite in parsed.definition.suites.clone() {
        again.attach(NodeId::ROOT, suite);
    }
    prop_assert_eq!(
        print(&again, NodeId::ROOT, Style::State),
        print(&tree, NodeId::ROOT, Style::State)
    );
    prop_assert_eq!(parsed.definition.suites.len(), expected.len());
    Ok(())
}

/// Words that statements are made of, so that random texts get far into the parser.
fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "suite",
        "family",
        "task",
        "endsuite",
        "endfamily",
        "endtask",
        "edit",
        "trigger",
        "complete",
        "event",
        "meter",
        "label",
        "limit",
        "inlimit",
        "defstatus",
        "repeat",
        "time",
        "today",
        "cron",
        "date",
        "day",
        "late",
        "clock",
        "autocancel",
        "zombie",
        "extern",
        " ",
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\n",
        ";",
        "#",
        "\\\n",
        "'",
        "\"",
        "a",
        "b",
        "1",
        "-1",
        "+",
        "00:10",
        "10:00",
        "20260101",
        "1.1.2026",
        "*.*.*",
        "monday",
        "integer",
        "string",
        "real",
        "-s",
        "-n",
        "-w",
        "0,1",
        "ecf:fob::",
        "/s/a:b",
        "a == complete",
        "(",
        ")",
        "and",
        "not",
        "ü",
        "\r\n",
        "\t",
    ])
}

fn expression(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("a == complete".to_owned()),
        Just("../b != suspended".to_owned()),
        Just("/s/f<flag>late".to_owned()),
        Just("./x:e == set".to_owned()),
        Just("x:e ne clear".to_owned()),
        (sum(3), sum(3)).prop_map(|(left, right)| format!("{left} <= {right}")),
        sum(3),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let part = expression(depth - 1);
    prop_oneof![
        2 => leaf,
        1 => vec(part.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" and "))),
        1 => vec(part.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" or "))),
        1 => part.prop_map(|part| format!("(not ({part}))")),
    ]
    .boxed()
}

fn sum(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-9..9_i32).prop_map(|number| number.to_string()),
        Just(":NAME".to_owned()),
        Just("../a:m".to_owned()),
        Just("cal::date_to_julian(:YMD)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let operator = proptest::sample::select(vec![" + ", " - ", " * ", " / ", " % "]);
    let part = sum(depth - 1);
    prop_oneof![
        2 => leaf,
        2 => (part.clone(), operator, part.clone())
            .prop_map(|(left, operator, right)| format!("{left}{operator}{right}")),
        1 => part.prop_map(|part| format!("({part})")),
    ]
    .boxed()
}

fn definition() -> impl Strategy<Value = String> {
    let value = "[a-z #;'\"\\\\%]{0,12}"
        .prop_filter("a definition can hold it", |value| def::is_quotable(value));
    let attribute = prop_oneof![
        value
            .clone()
            .prop_map(|value| format!("edit V {}", quoted(&value))),
        value.prop_map(|value| format!("label l {}", quoted(&value.replace('\\', "/")))),
        Just("event 1 half".to_owned()),
        Just("event e set".to_owned()),
        Just("meter m -5 100 90".to_owned()),
        Just("limit lim 3".to_owned()),
        Just("inlimit -n -s /s:lim 2".to_owned()),
        Just("defstatus suspended".to_owned()),
        Just("trigger not (1 == 2) or :V ge 3".to_owned()),
        Just("complete 1 == 2".to_owned()),
        Just("time +00:10 20:00 00:10".to_owned()),
        Just("today 10:00".to_owned()),
        Just("date 29.2.*".to_owned()),
        Just("day friday".to_owned()),
        Just("cron -w 0,6 -d 1,31 -m 12 10:00".to_owned()),
        Just("late -s +00:10 -a 20:00 -c +02:00".to_owned()),
        Just("autocancel 3".to_owned()),
        Just("zombie ecf:fob:init,complete:90".to_owned()),
    ];
    let once = |attributes: Vec<String>| {
        let mut kinds = Vec::new();
        let mut lines = Vec::new();
        for line in attributes {
            let kind = line.split(' ').next().unwrap().to_owned();
            if !kinds.contains(&kind) {
                kinds.push(kind);
                lines.push(line);
            }
        }
        lines.join("\n")
    };
    let task = vec(attribute, 0..8).prop_map(once);
    vec(task, 1..6).prop_map(|tasks| {
        let tasks = tasks.iter().enumerate();
        let tasks: String = tasks.map(|(at, lines)| format!("task t{at}\n{lines}\n")).collect();
        format!("extern /x:y\nsuite s\nclock hybrid 1.2.2026 +00:10\nrepeat enumerated R 1 'b c' d\nlimit lim 2\nfamily f\n{tasks}endfamily\nendsuite\n")
    })
}

fn quoted(value: &str) -> String {
    let holds = |quote: char| {
        let mut after = value.split(quote).skip(1);
        after.all(|rest| !rest.is_empty() && !rest.starts_with([' ', ';']))
    };
    if holds('\'') {
        format!("'{value}'")
    } else {
        format!("\"{value}\"")
    }
}
