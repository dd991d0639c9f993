// A minimal XML parser for the API's responses: elements, text, references. Attributes,
// comments and the declaration are skipped.

const DEPTH_MAX = 64;
const NAMED = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** An element: its children by name, and its text. */
class Element {
  constructor(name) {
    this.name = name;
    this.children = [];
    this.raw = '';
  }

  get text() {
    return this.raw.trim().replace(/&(#x[0-9a-f]+|#[0-9]+|[a-z]+);/gi, unescape);
  }

  /** The elements at a path: `all('reservationSet', 'item')`. */
  all(...path) {
    return path.reduce((from, name) => from.flatMap((e) => e.children.filter((c) => c.name === name)), [this]);
  }

  /** The text of the first element at a path, if there is one. */
  first(...path) {
    return this.all(...path)[0]?.text;
  }
}

/**
 * The root element. Throws a `SyntaxError` on what is not XML.
 *
 * With `wanted`, all other elements are skipped up to their first end tag, because the engine is
 * slow and a list of machines is long. No element of the API contains another of the same name.
 *
 * @param {string} xml
 * @param {Set<string>} [wanted]
 */
export function parse(xml, wanted) {
  const document = new Element('');
  const stack = [document];
  let top = document;
  let at = 0;
  for (let open = xml.indexOf('<'); open >= 0; open = xml.indexOf('<', at)) {
    const next = behind(xml, '>', open);
    const mark = xml[open + 1];
    if (mark === '/') {
      if (top === document || xml.slice(open + 2, next - 1).trimEnd() !== top.name) {
        throw new SyntaxError(`an end without a start: ${xml.slice(open, next)}`);
      }
      if (top.children.length === 0) {
        top.raw = xml.slice(at, open);
      }
      stack.pop();
      top = stack[stack.length - 1];
      at = next;
    } else if (mark === '?') {
      at = behind(xml, '?>', open);
    } else if (mark === '!') {
      if (!xml.startsWith('<!--', open)) {
        throw new SyntaxError('a document type or CDATA is not supported');
      }
      at = behind(xml, '-->', open);
    } else {
      const isEmpty = xml[next - 2] === '/';
      const inside = xml.slice(open + 1, isEmpty ? next - 2 : next - 1);
      const name = inside.includes('=') ? inside.slice(0, inside.search(/\s/)) : inside.trimEnd();
      at = next;
      if (wanted !== undefined && !wanted.has(name)) {
        if (!isEmpty) {
          at = behind(xml, `</${name}>`, next);
        }
        continue;
      }
      const element = new Element(name);
      top.children.push(element);
      if (!isEmpty) {
        if (stack.push(element) > DEPTH_MAX) {
          throw new SyntaxError(`elements are nested more than ${DEPTH_MAX} deep`);
        }
        top = element;
      }
    }
  }
  if (stack.length !== 1 || document.children.length !== 1) {
    throw new SyntaxError('it does not have exactly one root element, or is truncated');
  }
  return document.children[0];
}

function behind(xml, mark, from) {
  const found = xml.indexOf(mark, from);
  if (found < 0) {
    throw new SyntaxError('it is truncated');
  }
  return found + mark.length;
}

function unescape(reference, body) {
  if (body[0] !== '#') {
    return NAMED[body] ?? reference;
  }
  const code = /^#x/i.test(body) ? parseInt(body.slice(2), 16) : parseInt(body.slice(1), 10);
  return code <= 0x10ffff ? String.fromCodePoint(code) : reference;
}
