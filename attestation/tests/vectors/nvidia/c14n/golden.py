#!/usr/bin/env python3
"""Writes golden.json: canonical forms as libxml2 makes them, the library under xmllint and xmlsec.

Usage: golden.py FOLDER_OF_MANIFESTS...   (needs libxml2.so.2)

A case is a document with its Canonical XML 1.1 form without comments ("document"). Where it has an XML
signature, also the form without that ("enveloped") and that of SignedInfo in its place ("signed_info").
"refused" documents have none: libxml2 refuses most of them too, and the reasons of the others stand beside
them. Of each manifest in the folders only digests are kept.
"""
import ctypes
import hashlib
import json
import pathlib
import sys

xml2 = ctypes.CDLL("libxml2.so.2")
for name in ("xmlReadMemory", "xmlXPathNewContext", "xmlXPathEvalExpression"):
    getattr(xml2, name).restype = ctypes.c_void_p
xml2.xmlXPathNewContext.argtypes = [ctypes.c_void_p]
xml2.xmlXPathEvalExpression.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
xml2.xmlXPathRegisterNs.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
xml2.xmlC14NDocDumpMemory.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
                                      ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)]
xml2.xmlReadMemory.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]

C14N_1_1 = 2
NONET_NOERROR_NOWARNING_PEDANTIC = 1 << 11 | 1 << 5 | 1 << 6 | 1 << 7
ALL = "(//. | //@* | //namespace::*)"
DSIG = b"http://www.w3.org/2000/09/xmldsig#"


class XPathObject(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("nodeset", ctypes.c_void_p)]


def canonical(document, expression=None):
    nodes = None
    if expression:
        context = xml2.xmlXPathNewContext(document)
        xml2.xmlXPathRegisterNs(context, b"ds", DSIG)
        found = xml2.xmlXPathEvalExpression(expression.encode(), context)
        nodes = ctypes.cast(found, ctypes.POINTER(XPathObject)).contents.nodeset
    out = ctypes.c_void_p()
    size = xml2.xmlC14NDocDumpMemory(document, nodes, C14N_1_1, None, 0, ctypes.byref(out))
    return None if size < 0 else ctypes.string_at(out, size)


def forms(source):
    document = xml2.xmlReadMemory(source, len(source), None, None, NONET_NOERROR_NOWARNING_PEDANTIC)
    if not document:
        return None
    whole = canonical(document)
    if whole is None:
        return None
    made = {"document": whole}
    if b"ds:SignedInfo" in source:
        made["enveloped"] = canonical(document, ALL + "[not(ancestor-or-self::ds:Signature)]")
        made["signed_info"] = canonical(document, ALL + "[ancestor-or-self::ds:SignedInfo]")
    return made


SIGNED = ('<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo{0}>'
          '<ds:CanonicalizationMethod Algorithm="x"/>{1}</ds:SignedInfo></ds:Signature>')

CASES = {
    # Elements and text
    "empty element": "<a/>",
    "empty element, spaces in tags": "<a  ></a\n>",
    "text escapes": "<a>&lt;&gt;&amp;&quot;&apos;\"'></a>",
    "text with char refs": "<a>&#13;&#10;&#9;&#x20;&#x41;&#x1F600;</a>",
    "CR LF and CR in text": "<a>one\r\ntwo\rthree\r\r\nfour</a>",
    "CR beside a char ref": "<a>x&#13;\ry\r&#65;z&#13;\r\n&#13;\n</a>",
    "CR at the end of text": "<a>&#13;\r<b/>\r\n\r</a>",
    "tab and spaces in text": "<a>\t  x \n\n</a>",
    "CDATA": "<a>x<![CDATA[<&>\"]]]]><![CDATA[>]]>y</a>",
    "CDATA alone, empty CDATA": "<a><![CDATA[]]><b><![CDATA[ ]]></b></a>",
    "CDATA with CR": "<a><![CDATA[x\r\ny\rz]]>\r<![CDATA[\r]]></a>",
    "comments": "<!-- out --><a>x<!-- in - & < > -->y<b><!----></b></a><!-- after -->",
    "comment splits text": "<a>Zm<!--x-->9v</a>",
    "non-ASCII text": "<a>\u00e9\u4e2d\U0001F680</a>",
    "non-ASCII names": '<\u00e9l\u00e8ve \u4e2d="\u6587" \u00e0="1"/>',
    "byte order mark": "\ufeff<a/>",
    "XML declaration": '<?xml version="1.0" encoding="UTF-8"?>\n<a>x</a>',
    "XML declaration, single quotes": "<?xml version = '1.0' encoding='utf-8' standalone='yes' ?><a/>",
    "white space outside the root": "\n \t<a> </a>\r\n\n",
    "depth 32": "<d>" * 32 + "x" + "</d>" * 32,
    # Instructions
    "instructions beside the root": "<?p before?><?q?>\n<a><?r in?></a>\n<?s after?>",
    "instruction spacing": "<a><?p   two  spaces ?><?q  ?><?r\tx?><?s\nx\ny?></a>",
    "instruction with CR": "<?p x\r\ny\rz?><a/>",
    "instruction with markup": '<a><?p <b attr="&amp;">?></a>',
    # Attributes
    "attribute order": '<a c="3" b="2" a="1" B="0" aa="4"/>',
    "attribute escapes": "<a b='\"&amp;&lt;>&apos;' c=\"'\"/>",
    "attribute white space": "<a b=' x\ty\nz  ' c='\r\n' d='\r'/>",
    "attribute char refs": "<a b='&#9;&#10;&#13;&#32;&#34;&#38;&#60;&#62;'/>",
    "attribute CR beside refs": "<a b='&#13;\r\n&#10;\r&#9;'/>",
    "attribute spacing in the tag": "<a\n\tb = '1'\r\n  c\n=\n'2'\n/>",
    "attributes of namespaces": '<a xmlns:z="http://a/" xmlns:y="http://b/" y:a="1" z:b="2" b="3" z:a="4" y:b="5" a="6"/>',
    "same local names": '<a xmlns:p="http://z/" xmlns:q="http://a/" x="0" p:x="1" q:x="2"/>',
    "prefix is no order": '<a xmlns:b="urn:2" xmlns:a="urn:1" b:x="b" a:x="a"><c b:a="1" a:b="2"/></a>',
    "xml attributes": '<a xml:space="preserve" xml:lang="en" xml:id="i" z="1" xmlns:q="urn:q" q:a="2"> <b xml:lang="de" xml:base="x/y"/></a>',
    # Namespaces
    "default namespace": '<a xmlns="urn:a"><b/><c xmlns="urn:a"/></a>',
    "default redeclared": '<a xmlns="urn:a"><b xmlns="urn:b"><c xmlns="urn:a"/></b></a>',
    "default undeclared": '<a xmlns="urn:a"><b xmlns=""><c xmlns=""/><d xmlns="urn:a"/></b></a>',
    "undeclared at the root": '<a xmlns=""><b xmlns="urn:b"><c xmlns=""/></b></a>',
    "prefix redeclared": '<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"><p:c xmlns:p="urn:1"/></p:b><p:d xmlns:p="urn:1"/></p:a>',
    "unused namespaces stay": '<a xmlns:z="urn:z" xmlns:y="urn:y" xmlns="urn:d"><b xmlns:y="urn:y" xmlns:x="urn:x"/></a>',
    "two prefixes of one name": '<a xmlns="urn:n" xmlns:n="urn:n"><n:b n:x="1" x="2"/><b/></a>',
    "prefix order": '<a xmlns:b="urn:1" xmlns:B="urn:2" xmlns:a1="urn:3" xmlns:a="urn:4" xmlns="urn:5" xmlns:_="urn:6"/>',
    "declaration after its use": '<p:a p:x="1" xmlns:p="urn:p"/>',
    "xml prefix declared": '<a xmlns:xml="http://www.w3.org/XML/1998/namespace" xml:lang="en"/>',
    "sibling scopes": '<a><b xmlns:p="urn:1"/><c xmlns:p="urn:2"/><d xmlns:p="urn:1"><e xmlns:p="urn:1"/></d></a>',
    # Signatures: enveloped, and SignedInfo in its place
    "signature, namespaces of the root": '<s xmlns="urn:d" xmlns:n="urn:n" n:x="1">\n  ' + SIGNED.format("", "") + "\n tail</s>",
    "signature, default undeclared above": '<s xmlns="urn:d"><t xmlns="">' + SIGNED.format("", "<x/>") + "</t></s>",
    "signature, own namespaces": '<s xmlns:z="urn:z">' + SIGNED.format(' xmlns:a="urn:a" xmlns="urn:e"', "<x a:y='1'/>") + "</s>",
    "signature, xml:lang and xml:space": '<s xml:lang="en" xml:space="default" xml:id="no">' + SIGNED.format("", " ") + "</s>",
    "signature, nearest xml:lang": '<s xml:lang="en" xml:space="preserve"><t xml:lang="de">' + SIGNED.format(' xml:space="default"', "") + "</t></s>",
    "signature with comments and CDATA": "<s>a<!--c-->" + SIGNED.format("", "<!--c--><![CDATA[<]]>&#13;") + "<?p q?>b</s>",
    "signature first": "<s>" + SIGNED.format("", "") + "<n xmlns='urn:n'/></s>",
    "signature, other prefix of the root": '<d:s xmlns:d="urn:d" d:b="1" a="2">' + SIGNED.format(' Id="i"', "") + "</d:s>",
}

REFUSED = {
    "relative namespace": '<a xmlns="relative/name"/>',
    "relative prefix namespace": '<p:a xmlns:p="../x"/>',
    "prefix undeclared": '<a xmlns:p="urn:p"><b xmlns:p=""/></a>',  # libxml2 reports it and goes on
    "unknown prefix": "<p:a/>",  # libxml2 reports it and goes on
    "default declared twice": '<a xmlns="urn:a" xmlns="urn:b"/>',
    "attribute twice": '<a b="1" b="2"/>',
    "attribute twice by namespace": '<a xmlns:p="urn:n" xmlns:q="urn:n" p:b="1" q:b="2"/>',  # libxml2 reports it and goes on
    "document type": "<!DOCTYPE a><a/>",  # no document type is allowed here
    "entity": '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',  # no document type is allowed here
    "unknown entity": "<a>&e;</a>",
    "markup in an attribute": '<a b="<"/>',
    "not closed": "<a><b></a>",
    "two roots": "<a/><b/>",
    "text after the root": "<a/>x",
    "no root": "<!-- -->",
    "NUL": "<a>\x00</a>",
    "control character": "<a>&#1;</a>",
    "section end in text": "<a>]]></a>",
    "comment with two hyphens": "<a><!-- -- --></a>",
    "second XML declaration": '<a/><?xml version="1.0"?>',
    "late XML declaration": ' <?xml version="1.0"?><a/>',
    "reserved instruction": "<?XML x?><a/>",
    "XML 1.1": '<?xml version="1.1"?><a/>',  # libxml2 takes it for 1.0
    "other encoding": '<?xml version="1.0" encoding="ISO-8859-1"?><a>\u00e9</a>',  # never one of ours
    "depth 33": "<d>" * 33 + "</d>" * 33,  # a limit of ours
}


def main(folders):
    cases = []
    for name, source in CASES.items():
        made = forms(source.encode())
        assert made and None not in made.values(), name
        cases.append({"name": name, "xml": source} | {form: text.decode() for form, text in made.items()})
    for name, source in REFUSED.items():
        cases.append({"name": name, "xml": source, "refused": True,
                      "libxml2_refuses": forms(source.encode()) is None})
    manifests = {}
    for folder in map(pathlib.Path, folders):
        for path in sorted(folder.iterdir()):
            if path.suffix not in (".xml", ".swidtag"):
                continue
            source = path.read_bytes()
            made = forms(source)
            manifests[path.name] = {"sha256": hashlib.sha256(source).hexdigest()} | {
                form: hashlib.sha384(text).hexdigest() for form, text in made.items() if form != "document"}
    target = pathlib.Path(__file__).with_name("golden.json")
    target.write_text(json.dumps({"cases": cases, "manifests": manifests}, indent=1) + "\n")
    print(len(cases), "cases,", len(manifests), "manifests")
    for case in cases:
        if "libxml2_refuses" in case:
            print(case["libxml2_refuses"], case["name"])


main(sys.argv[1:])
