//! What a Dockerfile came to: BuildKit's definition of a build, as far as decisions need it.

/// The operations of a build, every one after its inputs. The last is the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The operations.
    pub nodes: Vec<Node>,
}

/// One operation; a step, where a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// BuildKit's name for it: the digest of the operation.
    pub digest: String,
    /// As it is shown: `[builder 2/5] RUN make`.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// The operations that it needs, as indexes of `nodes`.
    pub inputs: Vec<usize>,
    /// The input whose file system it changes.
    pub base: Option<usize>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Runs a command.
    Run,
    /// Copies or makes files.
    File,
    /// Is an image of a registry.
    Image,
    /// Is the client's directory.
    Local,
    /// Something else: git, a download, a merge.
    Other,
}

impl Graph {
    /// The index of the operation with this digest.
    pub fn find(&self, digest: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.digest == digest)
    }

    /// The result.
    pub fn last(&self) -> Option<usize> {
        self.nodes.len().checked_sub(1)
    }

    /// Marks `of` and all that it needs.
    pub fn needs(&self, of: usize) -> Vec<bool> {
        self.needed_by((0..self.nodes.len()).map(|index| index == of).collect())
    }

    /// Marks all that those need that are marked, which has a place for each operation.
    pub fn needed_by(&self, mut marked: Vec<bool>) -> Vec<bool> {
        // An input comes before what needs it.
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if marked[index] {
                node.inputs.iter().for_each(|input| marked[*input] = true);
            }
        }
        marked
    }

    /// Whether `of` needs one of those that are marked, itself included.
    pub fn needs_any(&self, marked: &[bool]) -> Vec<bool> {
        let mut needing = marked.to_vec();
        needing.resize(self.nodes.len(), false);
        for index in 0..self.nodes.len() {
            needing[index] = needing[index] || self.nodes[index].inputs.iter().any(|input| needing[*input]);
        }
        needing
    }

    /// The operations whose layers lie below `of` and it, from the top down.
    pub fn chain(&self, of: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(of), |index| self.nodes.get(*index)?.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, inputs: &[usize]) -> Node {
        Node {
            digest: format!("sha256:{name}"),
            name: name.to_owned(),
            kind: NodeKind::Run,
            inputs: inputs.to_vec(),
            base: inputs.first().copied(),
        }
    }

    #[test]
    fn what_an_operation_needs_is_found_through_all_its_inputs() {
        // base > a > b > result, base > other > result
        let graph = Graph {
            nodes: vec![
                node("base", &[]),
                node("a", &[0]),
                node("b", &[1]),
                node("other", &[0]),
                node("result", &[3, 2]),
            ],
        };
        assert_eq!(graph.needs(2), [true, true, true, false, false]);
        assert_eq!(graph.needs(4), [true; 5]);
        assert_eq!(graph.needs_any(&[false, true]), [false, true, true, false, true]);
        assert_eq!(graph.chain(4).collect::<Vec<_>>(), [4, 3, 0]);
        assert_eq!((graph.last(), graph.find("sha256:b"), graph.find("sha256:c")), (Some(4), Some(2), None));
        assert_eq!(Graph::default().last(), None);
    }
}
