//! Finds the paths in source files that lead to another module of the package: in `use` declarations and in the code.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceFile, Token, scan, tokens};

/// A module as the names on the way to it: `["http", "answer"]`; the root of the package is empty.
pub type ModulePath = Vec<String>;

/// A path as it is written.
struct Reference {
    line: usize,
    /// The module that it is written in.
    module: ModulePath,
    path: Vec<String>,
    /// The name under which a `use` declaration makes it known; none for a path in the code and for a glob.
    alias: Option<String>,
}

/// A type that is defined at the level of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDefinition {
    pub line: usize,
    pub module: ModulePath,
    pub name: String,
}

/// What a file contains.
struct FileContents {
    path: String,
    module: ModulePath,
    references: Vec<Reference>,
}

/// A path to another module of the package, with every module that it leads through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The file and the line.
    pub place: String,
    /// The module that the file belongs to.
    pub module: ModulePath,
    /// The path as it is written.
    pub written: String,
    /// Where it leads, and where the re-exports on the way lead.
    pub targets: Vec<ModulePath>,
}

/// The module of a file below `src/`.
pub fn module_of(path: &str) -> ModulePath {
    let names = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: ModulePath = names.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// All imports of the files of a package that lead into the package.
pub fn imports(files: &[SourceFile]) -> Vec<Import> {
    let mut package = Package::default();
    let contents: Vec<FileContents> = files.iter().map(|file| package.read(file)).collect();
    let mut imports = Vec::new();
    for file in &contents {
        for reference in &file.references {
            let Some(first) = package.absolute(&reference.module, &reference.path, 0) else { continue };
            imports.push(Import {
                place: format!("{}:{}", file.path, reference.line),
                module: file.module.clone(),
                written: reference.path.join("::"),
                targets: package.followed(first),
            });
        }
    }
    imports
}

/// The types that are defined at the level of a module; those of test modules are left out.
pub fn type_definitions(file: &SourceFile) -> Vec<TypeDefinition> {
    let mut parser = Parser::new(&file.text, module_of(&file.path));
    parser.run();
    let outside_tests = |found: &TypeDefinition| !found.module.iter().any(|name| name == "tests");
    parser.types.into_iter().filter(outside_tests).collect()
}

/// The names of all functions, with their lines.
pub fn functions(text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(&scan(text).code);
    let pairs = tokens.windows(2).filter(|pair| pair[0].text == "fn" && pair[1].is_name());
    pairs.map(|pair| (pair[1].line, pair[1].text.clone())).collect()
}

/// The modules of a package, and the names that `use` declarations make known in each.
#[derive(Default)]
struct Package {
    modules: BTreeSet<ModulePath>,
    aliases: BTreeMap<(ModulePath, String), Vec<String>>,
}

/// Longer chains of re-exports are a circle.
const MAX_REEXPORTS: usize = 8;

impl Package {
    fn read(&mut self, file: &SourceFile) -> FileContents {
        let module = module_of(&file.path);
        let mut parser = Parser::new(&file.text, module.clone());
        parser.run();
        self.modules.insert(module.clone());
        self.modules.extend(parser.modules);
        for reference in &parser.references {
            if let Some(alias) = &reference.alias {
                self.aliases.insert((reference.module.clone(), alias.clone()), reference.path.clone());
            }
        }
        FileContents { path: file.path.clone(), module, references: parser.references }
    }

    /// The path from the root of the package; none when it leads to another package.
    fn absolute(&self, module: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        let mut start = module.to_vec();
        let mut rest = rest;
        match first.as_str() {
            "crate" | "concurrency_lab" => start.clear(),
            "self" => {}
            "super" => {
                start.pop();
                while let Some(("super", more)) = rest.split_first().map(|(first, more)| (first.as_str(), more)) {
                    start.pop();
                    rest = more;
                }
            }
            _ if depth < MAX_REEXPORTS => return self.relative(module, first, rest, depth),
            _ => return None,
        }
        start.extend(rest.iter().cloned());
        Some(start)
    }

    /// A path that begins with a name which is known here: an import of this module or of one around it, or a child.
    fn relative(&self, module: &[String], first: &str, rest: &[String], depth: usize) -> Option<ModulePath> {
        for length in (0..=module.len()).rev() {
            let around = &module[..length];
            if let Some(target) = self.aliases.get(&(around.to_vec(), first.to_owned()))
                && target.first().map(String::as_str) != Some(first)
            {
                let mut start = self.absolute(around, target, depth + 1)?;
                start.extend(rest.iter().cloned());
                return Some(start);
            }
            let child: ModulePath = around.iter().cloned().chain([first.to_owned()]).collect();
            if self.modules.contains(&child) {
                return Some(child.into_iter().chain(rest.iter().cloned()).collect());
            }
            if !is_inline(module, length) {
                break;
            }
        }
        None
    }

    /// The path, and what it becomes when re-exports are followed.
    fn followed(&self, path: ModulePath) -> Vec<ModulePath> {
        let mut targets = vec![path];
        while targets.len() <= MAX_REEXPORTS {
            let Some(next) = targets.last().and_then(|path| self.reexported(path)) else { break };
            if targets.contains(&next) {
                break;
            }
            targets.push(next);
        }
        targets
    }

    fn reexported(&self, path: &[String]) -> Option<ModulePath> {
        let length = (1..=path.len()).find(|length| !self.modules.contains(&path[..*length]))?;
        let (parent, name) = (&path[..length - 1], &path[length - 1]);
        let target = self.aliases.get(&(parent.to_vec(), name.clone()))?;
        let mut next = self.absolute(parent, target, 1)?;
        next.extend(path[length..].iter().cloned());
        Some(next)
    }
}

/// Whether the last name of this part of a module's path is a test module within its file: only there are the names
/// around it known, by `use super::*`.
fn is_inline(module: &[String], length: usize) -> bool {
    length > 0 && module[length - 1] == "tests"
}

/// An open brace, by what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Brace {
    Module(String),
    /// The arms of a `macro_rules!`.
    Macro,
    /// The text that an arm of a macro expands to.
    Expansion,
    Other,
}

/// Walks over the tokens of a file.
struct Parser {
    tokens: Vec<Token>,
    at: usize,
    file_module: ModulePath,
    braces: Vec<Brace>,
    references: Vec<Reference>,
    modules: Vec<ModulePath>,
    types: Vec<TypeDefinition>,
}

impl Parser {
    fn new(text: &str, file_module: ModulePath) -> Self {
        let tokens = tokens(&scan(text).code);
        Self { tokens, at: 0, file_module, braces: vec![], references: vec![], modules: vec![], types: vec![] }
    }

    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn name(&self, ahead: usize) -> Option<String> {
        self.tokens.get(self.at + ahead).filter(|token| token.is_name()).map(|token| token.text.clone())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn module(&self) -> ModulePath {
        let inline = self.braces.iter().filter_map(|brace| match brace {
            Brace::Module(name) => Some(name),
            Brace::Macro | Brace::Expansion | Brace::Other => None,
        });
        self.file_module.iter().chain(inline).cloned().collect()
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "{" => self.open(),
                "}" => drop(self.braces.pop()),
                "mod" if self.text(2) == "{" => {
                    self.braces.push(Brace::Module(self.text(1).to_owned()));
                    self.modules.push(self.module());
                    self.at += 2;
                }
                // Not the `use<'a>` of a return type.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.use_tree(&[]);
                    continue;
                }
                "struct" | "enum" | "trait" | "type" if !self.braces.contains(&Brace::Other) => self.definition(),
                _ => {
                    self.path();
                    continue;
                }
            }
            self.at += 1;
        }
    }

    fn open(&mut self) {
        let before = |count: usize| self.at.checked_sub(count).map_or("", |at| self.tokens[at].text.as_str());
        self.braces.push(if before(3) == "macro_rules" {
            Brace::Macro
        } else if before(1) == ">" && self.braces.last() == Some(&Brace::Macro) {
            Brace::Expansion
        } else {
            Brace::Other
        });
    }

    fn definition(&mut self) {
        if let Some(name) = self.name(1) {
            self.types.push(TypeDefinition { line: self.line(), module: self.module(), name });
        }
    }

    /// One branch of a `use` declaration: names, then `{…}`, `*`, `as name` or the end.
    fn use_tree(&mut self, prefix: &[String]) {
        let (line, mut path) = (self.line(), prefix.to_vec());
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => return self.use_group(&path),
                "*" => {
                    self.at += 1;
                    return self.refer(line, path, None);
                }
                "as" => {
                    let alias = self.name(1);
                    self.at += 2;
                    return self.refer(line, path, alias);
                }
                _ => match self.name(0) {
                    // `a::{self}` names `a` itself.
                    Some(name) if name == "self" && !path.is_empty() => self.at += 1,
                    Some(name) => {
                        path.push(name);
                        self.at += 1;
                    }
                    None => {
                        let alias = path.last().cloned();
                        return self.refer(line, path, alias);
                    }
                },
            }
        }
    }

    fn use_group(&mut self, prefix: &[String]) {
        self.at += 1;
        while !matches!(self.text(0), "}" | "") {
            if self.text(0) == "," {
                self.at += 1;
            } else {
                let before = self.at;
                self.use_tree(prefix);
                self.at = self.at.max(before + 1);
            }
        }
        self.at += 1;
    }

    /// A path in the code, or a single name.
    fn path(&mut self) {
        let (line, mut path) = (self.line(), Vec::new());
        while let Some(name) = self.name(0) {
            path.push(name);
            self.at += 1;
            if self.text(0) != "::" {
                break;
            }
            self.at += 1;
        }
        match path.len() {
            0 => self.at += 1,
            1 => {}
            _ => self.refer(line, path, None),
        }
    }

    fn refer(&mut self, line: usize, path: Vec<String>, alias: Option<String>) {
        self.references.push(Reference { line, module: self.module(), path, alias });
    }
}
