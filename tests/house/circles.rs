//! Which files of `src/` import each other in a circle. Reads the text of imports and paths; knows nothing of methods.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library by path (`heal::policy`), and who imports whom.
#[derive(Default)]
pub struct Files {
    modules: BTreeMap<String, Module>,
}

#[derive(Default)]
struct Module {
    /// As seen from `src/`.
    file: String,
    /// Without comments, imports and unit tests.
    code: String,
    /// A name that the file imports → the path it stands for, as written.
    imports: BTreeMap<String, String>,
    /// Paths of which everything is imported.
    globs: Vec<String>,
    children: BTreeSet<String>,
}

/// A file → the files it imports.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

impl Files {
    /// Reads `root` and every file its modules declare, but for those declared for tests.
    pub fn read(root: &Path) -> Self {
        let mut files = Self::default();
        files.add(root.parent().unwrap(), root, String::new());
        files
    }

    fn add(&mut self, src: &Path, file: &Path, path: String) {
        let text = fs::read_to_string(file).unwrap();
        let mut module = Module::parse(&text);
        module.file = file.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
        let is_folder = file.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs");
        let folder = if is_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        for child in module.children.clone() {
            let file: Option<PathBuf> = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")]
                .into_iter()
                .find(|at| at.exists());
            self.add(src, &file.unwrap_or_else(|| panic!("no file for `{child}` of `{path}`")), join(&path, &child));
        }
        self.modules.insert(path, module);
    }

    /// The same from texts, each with its module's path.
    pub fn of(texts: &[(&str, &str)]) -> Self {
        let module = |(path, text): &(&str, &str)| {
            let module = Module { file: format!("{path}.rs"), ..Module::parse(text) };
            ((*path).to_owned(), module)
        };
        Self { modules: texts.iter().map(module).collect() }
    }

    pub fn count(&self) -> usize {
        self.modules.len()
    }

    /// Every file with its code.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.values().map(|module| (module.file.as_str(), module.code.as_str()))
    }

    /// Who imports whom. A name that a module only passes on counts as one of the file that defines it.
    pub fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (path, module) in &self.modules {
            let imports = module.imports.values().cloned();
            let named = paths(&module.code).filter(|named| named.contains("::"));
            let globs = module.globs.iter().map(|glob| format!("{glob}::*"));
            let found = imports.chain(named).chain(globs).filter_map(|named| self.definer(path, &named, 0));
            let others = found.filter(|found| found != path).map(|found| self.modules[&found].file.clone());
            edges.entry(module.file.clone()).or_default().extend(others);
        }
        edges
    }

    /// The module that defines what `named` means in `module`; `None` for what is no item of this crate, or a module.
    fn definer(&self, module: &str, named: &str, depth: usize) -> Option<String> {
        assert!(depth < 20, "`{named}` in `{module}` goes round");
        let (first, rest) = named.split_once("::").unwrap_or((named, ""));
        let here = &self.modules[module];
        match first {
            "crate" => self.definer("", rest, depth + 1),
            "self" => self.definer(module, rest, depth + 1),
            "super" => self.definer(module.rsplit_once("::").map_or("", |(parent, _)| parent), rest, depth + 1),
            "" => None,
            child if here.children.contains(child) => self.definer(&join(module, child), rest, depth + 1),
            alias if here.imports.contains_key(alias) => {
                let full = &here.imports[alias];
                if full == alias || full.starts_with(&format!("{alias}::")) {
                    return None;
                }
                self.definer(module, join(full, rest).trim_end_matches("::"), depth + 1)
            }
            // A crate, or a type that this file defines.
            _ if depth == 0 => None,
            item => {
                let passes_on = here.globs.iter().find_map(|glob| {
                    let of = self.definer(module, &format!("{glob}::{item}"), depth + 1)?;
                    self.modules[&of].defines(item).then_some(of)
                });
                let is_foreign = |item: &str| !here.defines(item) && item != "*";
                passes_on.or_else(|| (!is_foreign(item)).then(|| module.to_owned()))
            }
        }
    }
}

impl Module {
    fn parse(text: &str) -> Self {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
        let mut module = Self::default();
        let mut is_test = false;
        let mut rest = lines.as_str();
        while let Some((line, after)) = rest.split_once('\n').or((!rest.is_empty()).then_some((rest, ""))) {
            let bare = match line.trim_start() {
                public if public.starts_with("pub(") => public.split_once(") ").map_or("", |(_, bare)| bare),
                public => public.strip_prefix("pub ").unwrap_or(public),
            };
            rest = after;
            if let Some(start) = bare.strip_prefix("use ") {
                // Up to the semicolon, over as many lines as it takes.
                let begun = lines.len() - after.len() - usize::from(!after.is_empty()) - start.len();
                let end = lines[begun..].find(';').map_or(lines.len(), |at| begun + at);
                if !is_test {
                    module.import("", &lines[begun..end]);
                }
                rest = lines.get(end + 1..).unwrap_or("");
            } else if let Some(child) = bare.strip_prefix("mod ").and_then(|child| child.strip_suffix(';')) {
                if !is_test {
                    module.children.insert(child.to_owned());
                }
            } else {
                module.code.push_str(line);
                module.code.push('\n');
            }
            is_test = line.trim() == "#[cfg(test)]" || (is_test && line.trim().starts_with("#["));
        }
        module
    }

    /// Takes in one tree of a `use`.
    fn import(&mut self, before: &str, tree: &str) {
        let tree = tree.trim();
        if let Some((prefix, group)) = tree.split_once('{') {
            let prefix = join(before, prefix.trim().trim_end_matches("::"));
            let (mut depth, mut begun) = (0, 0);
            let group = &group[..group.rfind('}').unwrap()];
            for (at, one) in group.char_indices() {
                match one {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        self.import(&prefix, &group[begun..at]);
                        begun = at + 1;
                    }
                    _ => {}
                }
            }
            return self.import(&prefix, &group[begun..]);
        }
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let full = join(before, path.trim_end_matches("self").trim_end_matches("::"));
        let last = full.rsplit("::").next().unwrap().to_owned();
        match (last.as_str(), alias) {
            _ if tree.is_empty() => {}
            ("*", _) => self.globs.push(full.trim_end_matches("::*").to_owned()),
            (_, "") => _ = self.imports.insert(last, full),
            (_, "_") => _ = self.imports.insert(format!("_ {full}"), full),
            (_, alias) => _ = self.imports.insert(alias.to_owned(), full),
        }
    }

    fn defines(&self, item: &str) -> bool {
        const KINDS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"];
        let words: Vec<_> = self.code.split_whitespace().collect();
        let is_name = |word: &str| {
            word.strip_prefix(item).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        words.windows(2).any(|pair| KINDS.contains(&pair[0]) && is_name(pair[1]))
    }
}

fn join(before: &str, after: &str) -> String {
    [before, after].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::")
}

/// Words and paths of words in code.
fn paths(code: &str) -> impl Iterator<Item = String> + '_ {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .map(|word| word.trim_end_matches(':').to_owned())
        .filter(|word| !word.starts_with(':'))
}

/// Files that reach each other: the strongly connected components of two files and more (Tarjan).
pub fn circles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let mut walk = Walk::new(edges);
    for file in edges.keys() {
        if !walk.order.contains_key(file.as_str()) {
            walk.visit(file);
        }
    }
    walk.found
}

struct Walk<'a> {
    edges: &'a Edges,
    order: BTreeMap<&'a str, usize>,
    lowest: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: Vec<BTreeSet<String>>,
}

impl<'a> Walk<'a> {
    fn new(edges: &'a Edges) -> Self {
        Self { edges, order: BTreeMap::new(), lowest: BTreeMap::new(), stack: Vec::new(), found: Vec::new() }
    }

    fn visit(&mut self, file: &'a str) {
        let number = self.order.len();
        self.order.insert(file, number);
        self.lowest.insert(file, number);
        self.stack.push(file);
        for next in self.edges.get(file).into_iter().flatten() {
            let reached = if !self.order.contains_key(next.as_str()) {
                self.visit(next);
                self.lowest[next.as_str()]
            } else if self.stack.contains(&next.as_str()) {
                self.order[next.as_str()]
            } else {
                continue;
            };
            let lowest = self.lowest[file].min(reached);
            self.lowest.insert(file, lowest);
        }
        if self.lowest[file] == number {
            let at = self.stack.iter().position(|one| *one == file).unwrap();
            let circle: BTreeSet<_> = self.stack.drain(at..).map(str::to_owned).collect();
            if 1 < circle.len() {
                self.found.push(circle);
            }
        }
    }
}
