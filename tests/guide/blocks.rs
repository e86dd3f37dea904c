//! The fenced blocks of a Markdown page.

/// A block ```` ```language file ```` and what is in it.
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What follows the fence: a language, and maybe a file name.
    pub(crate) info: String,
    pub(crate) text: String,
    /// Why it is not tested, from a comment `<!-- untested: … -->` on the line before.
    pub(crate) untested: Option<String>,
}

/// The blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body = lines.by_ref().map(|(_, line)| line);
            let text = body.take_while(|line| *line != "```");
            let reason = before
                .strip_prefix("<!-- untested: ")
                .and_then(|it| it.strip_suffix(" -->"));
            blocks.push(Block {
                line: number + 1,
                info: info.to_owned(),
                text: text.map(|line| format!("{line}\n")).collect(),
                untested: reason.map(str::to_owned),
            });
        }
        before = line;
    }
    blocks
}
