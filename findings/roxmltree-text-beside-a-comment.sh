#!/usr/bin/env bash
# `Node::text()` of roxmltree is the text of the first child only: a comment cuts the value.
#
# `<port>5905</port>` gives "5905", with CDATA and entities too, since those are joined into
# one text node. A comment is a node of its own. With a comment before the value `text()` is
# None, which most programs read as "not set"; with one in the middle it is the part before
# it: `59<!-- was 58 -->05` is "59". There is no error. Seen with roxmltree 0.21.2.
#
# Join the texts of all children: `node.children().filter(Node::is_text)
# .filter_map(|child| child.text()).collect::<String>()`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "text-of-elements"
version = "0.1.0"
edition = "2021"

[dependencies]
roxmltree = "=0.21.2"
TOML
cat > "$work/src/main.rs" <<'RUST'
use roxmltree::{Document, Node};

fn main() {
    for xml in [
        "<port>5905</port>",
        "<port>59<![CDATA[0]]>&#53;</port>",
        "<port><!-- free --> 5905</port>",
        "<port>59<!-- was 58 -->05</port>",
    ] {
        let document = Document::parse(xml).expect("the document is well-formed");
        let port = document.root_element();
        let texts = port.children().filter(Node::is_text).filter_map(|child| child.text());
        println!("{xml}: text() {:?}, joined {:?}", port.text(), texts.collect::<String>().trim());
    }
}
RUST
echo "roxmltree 0.21.2"
printed=$(cd "$work" && cargo run --quiet --target-dir "$work/target")
echo "$printed"
seen='<port>5905</port>: text() Some("5905"), joined "5905"
<port>59<![CDATA[0]]>&#53;</port>: text() Some("5905"), joined "5905"
<port><!-- free --> 5905</port>: text() None, joined "5905"
<port>59<!-- was 58 -->05</port>: text() Some("59"), joined "5905"'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "a comment before the value makes it None, a comment in the middle cuts it"
