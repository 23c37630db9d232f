/**
 * Answers of commands as `json`, `json-pretty`, `xml` and `xml-pretty`, byte for byte as Ceph's
 * Formatter writes them (Ceph: Formatter.cc, escape.cc).
 */

/** What is printed: sections know the names that XML needs and JSON does not. */
export type Node = string | number | ObjectNode | ArrayNode | PrintedNode;

export interface ObjectNode {
  readonly members: readonly (readonly [name: string, value: Node])[];
}

export interface ArrayNode {
  /** The name of each item in XML. */
  readonly item: string;
  /** Read once, one by one: there may be a million. */
  readonly items: Iterable<Node>;
}

/** What formatItem has printed already, in the format of the whole. */
export interface PrintedNode {
  readonly printed: string;
}

/** The formats that are not plain; `yaml` is plain for these commands. */
export const FORMATTED = ['json', 'json-pretty', 'xml', 'xml-pretty'] as const;
export type Formatted = (typeof FORMATTED)[number];

/** The format of a name; undefined for plain, and for what Ceph does not know. */
export function formattedOf(name: string | undefined): Formatted | undefined {
  return FORMATTED.find((each) => each === name);
}

/** Prints a tree; `root` is the name of the outermost element. */
export function formatNode(root: string, node: Node, format: Formatted): string {
  switch (format) {
    case 'json':
      return json(node);
    case 'json-pretty':
      return `${prettyJson(node, '')}\n`;
    case 'xml':
      return xml(root, node);
    case 'xml-pretty':
      // Ceph: the last element ends its line, and flushing ends one more.
      return `${prettyXml(root, node, '')}\n`;
  }
}

/**
 * Prints one item of an array ahead of the whole: of many, texts are kept with less than trees.
 *
 * @param depth how many levels are around the item
 */
export function formatItem(
  item: string,
  node: Node,
  format: Formatted,
  depth: number,
): PrintedNode {
  switch (format) {
    case 'json':
      return { printed: json(node) };
    case 'json-pretty':
      return { printed: prettyJson(node, '    '.repeat(depth)) };
    case 'xml':
      return { printed: xml(item, node) };
    case 'xml-pretty':
      return { printed: prettyXml(item, node, ' '.repeat(depth)) };
  }
}

function json(node: Node): string {
  if (typeof node === 'number') return String(node);
  if (typeof node === 'string') return `"${escapeJson(node)}"`;
  if ('printed' in node) return node.printed;
  if ('items' in node) return `[${Array.from(node.items, json).join(',')}]`;
  let text = '';
  for (const [name, value] of node.members) {
    text += `${text === '' ? '' : ','}"${escapeJson(name)}":${json(value)}`;
  }
  return `{${text}}`;
}

function prettyJson(node: Node, indent: string): string {
  if (typeof node !== 'object' || 'printed' in node) return json(node);
  const inner = `${indent}    `;
  const lines =
    'items' in node
      ? Array.from(node.items, (item) => inner + prettyJson(item, inner))
      : node.members.map(
          ([name, value]) => `${inner}"${escapeJson(name)}": ${prettyJson(value, inner)}`,
        );
  const [open, close] = 'items' in node ? '[]' : '{}';
  return lines.length === 0
    ? `${open}${close}`
    : `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}

function xml(name: string, node: Node): string {
  if (typeof node === 'object' && 'printed' in node) return node.printed;
  const element = elementName(name);
  const text =
    typeof node === 'object'
      ? Array.from(childrenOf(node), ([n, v]) => xml(n, v)).join('')
      : escapeXml(String(node));
  return `<${element}>${text}</${element}>`;
}

function prettyXml(name: string, node: Node, indent: string): string {
  if (typeof node === 'object' && 'printed' in node) return node.printed;
  const element = elementName(name);
  if (typeof node !== 'object') return `${indent}${xml(name, node)}\n`;
  const content = Array.from(childrenOf(node), ([n, v]) => prettyXml(n, v, `${indent} `));
  return `${indent}<${element}>\n${content.join('')}${indent}</${element}>\n`;
}

function childrenOf(node: ObjectNode | ArrayNode): Iterable<readonly [string, Node]> {
  return 'items' in node ? named(node) : node.members;
}

function* named({ item, items }: ArrayNode): Generator<readonly [string, Node]> {
  for (const each of items) yield [item, each];
}

function elementName(name: string): string {
  return name.replaceAll(' ', '_');
}

function escapeJson(text: string): string {
  if (text.search(JSON_SPECIAL) < 0) return text;
  return text.replace(JSON_SPECIAL, (char) => {
    const short = JSON_ESCAPES[char];
    return short ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function escapeXml(text: string): string {
  return text.replace(
    XML_SPECIAL,
    (char) => XML_ESCAPES[char] ?? `&#x${char.charCodeAt(0).toString(16).padStart(2, '0')};`,
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to be escaped
const JSON_SPECIAL = /["\\\u0000-\u001f\u007f]/g;
const JSON_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\t': '\\t',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to be escaped
const XML_SPECIAL = /[<>&'"\u0000-\u0008\u000b-\u001f\u007f]/g;
const XML_ESCAPES: Readonly<Record<string, string>> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  "'": '&apos;',
  '"': '&quot;',
};
