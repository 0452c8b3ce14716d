//! [`Node`]: a document as a tree, made from the parser's events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput};

use super::{Place, Problem, YamlError, scalar};
use crate::config::Value;

/// As many nodes as a document may have once its aliases are followed. A text of one MiB, the largest that is
/// read, has fewer without them.
const MOST_NODES: usize = 1 << 20;

/// A node and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) tree: Tree,
}

#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// Anything but a list or a mapping.
    Scalar(Value),
    List(Vec<Node>),
    /// Each key is in it once.
    Map(Vec<(MapKey, Node)>),
}

/// A key of a mapping, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct MapKey {
    pub(crate) place: Place,
    pub(crate) name: String,
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node.tree {
            Tree::Scalar(value) => value,
            Tree::List(nodes) => Self::List(nodes.into_iter().map(Into::into).collect()),
            Tree::Map(entries) => {
                let entries = entries.into_iter().map(|(key, node)| (key.name, node.into()));
                Self::Map(entries.collect::<BTreeMap<_, _>>())
            }
        }
    }
}

/// Reads the one document of `text`; an empty text is null.
///
/// # Errors
/// The first problem and its place.
pub(crate) fn read(text: &str) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Another crate of the program may turn the parser's feature `comments` on, which makes comments events.
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    Reader { parser, anchors: HashMap::new(), nodes: 0 }.document()
}

struct Reader<'text> {
    parser: Parser<'text, StrInput<'text>>,
    /// The nodes with an anchor that are complete.
    anchors: HashMap<usize, Node>,
    /// How many nodes were made, those of aliases too.
    nodes: usize,
}

impl<'text> Reader<'text> {
    fn document(&mut self) -> Result<Node, YamlError> {
        let mut document = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if document.is_some() => {
                    return Err(YamlError::new(Problem::SecondDocument, place));
                }
                Event::DocumentStart(..) => {
                    let (event, place) = self.next()?;
                    document = Some(self.node(event, place)?);
                }
                event => return Err(unexpected(&event, place)),
            }
        }
        let nothing = Node { place: Place { line: 1, column: 1 }, tree: Tree::Scalar(Value::Null) };
        Ok(document.unwrap_or(nothing))
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'text>, place: Place) -> Result<Node, YamlError> {
        self.count(1, place)?;
        let (tree, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar::value(&text, style == ScalarStyle::Plain, tag.as_deref());
                (Tree::Scalar(value.map_err(|problem| YamlError::new(problem, place))?), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list()?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map()?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, place),
            event => return Err(unexpected(&event, place)),
        };
        let node = Node { place, tree };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Tree, YamlError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Tree::List(nodes)),
                (event, place) => nodes.push(self.node(event, place)?),
            }
        }
    }

    fn map(&mut self) -> Result<Tree, YamlError> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let name = self.key(event, place)?;
            let (event, below) = self.next()?;
            let node = self.node(event, below)?;
            if merge {
                merged.extend(entries_to_merge(node)?);
                continue;
            }
            if !names.insert(name.clone()) {
                return Err(YamlError::new(Problem::DuplicateKey(name), place));
            }
            entries.push((MapKey { place, name }, node));
        }
        // What the mapping says itself wins over what it merges, and of that the first.
        entries.extend(merged.into_iter().filter(|(key, _)| names.insert(key.name.clone())));
        Ok(Tree::Map(entries))
    }

    /// The name that `event` writes as a key.
    fn key(&mut self, event: Event<'text>, place: Place) -> Result<String, YamlError> {
        let written = match &event {
            Event::Scalar(text, ..) => Some(text.clone().into_owned()),
            _ => None,
        };
        match (self.node(event, place)?.tree, written) {
            (Tree::Scalar(Value::Null), _) => Err(YamlError::new(Problem::NullKey, place)),
            (Tree::Scalar(Value::String(name)), _) => Ok(name),
            // A number or a boolean as a key is its text.
            (Tree::Scalar(_), Some(written)) => Ok(written),
            (Tree::Scalar(value), None) => Ok(value.to_string()),
            (Tree::List(_) | Tree::Map(_), _) => {
                Err(YamlError::new(Problem::Other("a key is a list or a mapping".to_owned()), place))
            }
        }
    }

    /// A copy of the node that has this anchor. It keeps its own place: what is wrong is written there.
    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, YamlError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(YamlError::new(
                Problem::Other("an alias stands within its own anchor".to_owned()),
                place,
            ));
        };
        self.count(size(&node), place)?;
        Ok(node)
    }

    /// Aliases of aliases make a short text a huge document.
    fn count(&mut self, nodes: usize, place: Place) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        match self.nodes > MOST_NODES {
            true => {
                Err(YamlError::new(Problem::Other("aliases make the document too large".to_owned()), place))
            }
            false => Ok(()),
        }
    }

    fn next(&mut self) -> Result<(Event<'text>, Place), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, Place::of(&span.start))),
            Some(Err(error)) => Err(error.into()),
            None => Ok((Event::StreamEnd, Place { line: 1, column: 1 })),
        }
    }
}

fn entries_to_merge(node: Node) -> Result<Vec<(MapKey, Node)>, YamlError> {
    match node.tree {
        Tree::Map(entries) => Ok(entries),
        Tree::List(nodes) if nodes.iter().all(|node| matches!(node.tree, Tree::Map(_))) => {
            nodes.into_iter().map(entries_to_merge).collect::<Result<Vec<_>, _>>().map(|maps| maps.concat())
        }
        _ => {
            let words = "`<<` merges a mapping or a list of mappings".to_owned();
            Err(YamlError::new(Problem::Other(words), node.place))
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.tree {
        Tree::Scalar(_) => 0,
        Tree::List(nodes) => nodes.iter().map(size).sum(),
        Tree::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}

fn unexpected(event: &Event<'_>, place: Place) -> YamlError {
    let kind = match event {
        Event::StreamEnd | Event::DocumentEnd => "the text ends too early",
        _ => "this cannot stand here",
    };
    YamlError::new(Problem::Other(kind.to_owned()), place)
}
