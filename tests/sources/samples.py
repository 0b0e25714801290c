"""A small good file of every source, all synthetic. The key is the source, with a word for more forms."""

import json
import sqlite3
from typing import Any


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def database(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data


EVE_FLOW = {
    "timestamp": "2026-03-02T09:00:05.000000+0100",
    "flow_id": 77,
    "event_type": "flow",
    "src_ip": "10.0.0.7",
    "src_port": 50123,
    "dest_ip": "198.51.100.9",
    "dest_port": 443,
    "proto": "TCP",
    "app_proto": "tls",
    "ether": {"src_mac": "08:00:07:F8:3D:02"},
    "flow": {
        "start": "2026-03-02T09:00:00.000000+0100",
        "end": "2026-03-02T09:00:04.500000+0100",
        "bytes_toserver": 4096,
        "bytes_toclient": 812,
        "state": "closed",
    },
}
_EVE = {name: EVE_FLOW[name] for name in ("timestamp", "flow_id", "src_ip", "dest_ip", "dest_port", "proto")}
EVE_QUERY = _EVE | {
    "event_type": "dns",
    "dns": {"type": "query", "id": 2, "rrname": "WWW.Example.com", "rrtype": "A"},
}
EVE_ANSWER = _EVE | {
    "event_type": "dns",
    "dns": {
        "type": "response",
        "id": 2,
        "queries": [{"rrname": "www.example.com", "rrtype": "A"}],
        "rcode": "NOERROR",
        "answers": [{"rdata": "198.51.100.9"}, {"rdata": {"mname": "x"}}],
    },
}
EVE_TLS = _EVE | {
    "event_type": "tls",
    "tls": {
        "sni": "files.example.com",
        "version": "TLS 1.3",
        "issuerdn": "CN=Example CA",
        "server_alpns": ["h2"],
        "ja3": {"hash": "aa"},
        "ja4": "t13d",
    },
}
EVE_ANOMALY = _EVE | {
    "event_type": "anomaly",
    "anomaly": {"type": "applayer", "event": "APPLAYER_WRONG_DIRECTION_FIRST_DATA", "app_proto": "http"},
}
EVE_ALERT = _EVE | {
    "event_type": "alert",
    "src_ip": "198.51.100.9",
    "dest_ip": "10.0.0.7",
    "alert": {"signature": "TEST bad answer", "signature_id": 9, "severity": 1},
}

NETUSAGE = database(
    "CREATE TABLE ZPROCESS (Z_PK INTEGER PRIMARY KEY, ZFIRSTTIMESTAMP TIMESTAMP, ZTIMESTAMP TIMESTAMP,"
    " ZBUNDLENAME VARCHAR, ZPROCNAME VARCHAR)",
    "CREATE TABLE ZLIVEUSAGE (Z_PK INTEGER PRIMARY KEY, ZHASPROCESS INTEGER, ZTIMESTAMP TIMESTAMP,"
    " ZWIFIIN FLOAT, ZWIFIOUT FLOAT, ZWWANIN FLOAT, ZWWANOUT FLOAT)",
    "INSERT INTO ZPROCESS VALUES (1, 632604217.4118, 632604317.5, 'com.acme.chat', 'chat/com.acme.chat')",
    "INSERT INTO ZPROCESS VALUES (2, 632604217.4118, 632604217.4118, NULL, 'configd')",
    "INSERT INTO ZLIVEUSAGE VALUES (1, 1, 632604217.4118, 100.0, 20.0, 3.0, 4.0)",
    "INSERT INTO ZLIVEUSAGE VALUES (2, 99, 632604217.4118, 1.0, NULL, NULL, NULL)",
)
TCC = database(
    "CREATE TABLE access (service TEXT, client TEXT, client_type INTEGER, auth_value INTEGER,"
    " last_modified INTEGER)",
    "INSERT INTO access VALUES ('kTCCServiceMicrophone', 'com.acme.chat', 0, 2, 1772442000)",
    "INSERT INTO access VALUES ('kTCCServiceAddressBook', '/usr/libexec/x', 1, 0, 1772442001)",
)
INSTALLATION = (
    b"Mon Mar  2 09:00:00 2026 [829] <notice> (0x16d16b000) -[MIInstaller x]: Installing"
    b" <MIInstallableBundle ID=com.acme.chat; Version=77, ShortVersion=4.2>\n"
    b"Mon Mar  2 09:00:01 2026 [829] <notice> (0x16d16b000) made of several {\n"
    b"    lines = 1;\n"
    b"}\n"
    b"Mon Mar  2 09:00:02 2026 [829] <notice> (0x16d16b000) -[MIInstaller performInstallationWithError:]:"
    b" Install Successful for (Customer:com.acme.chat); Overall: 6.48s\n"
    b"Mon Mar  2 10:00:00 2026 [829] <notice> (0x16d16b000) Uninstalling identifier com.acme.game\n"
)
TOMBSTONE = (
    b"*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***\n"
    b"Build fingerprint: 'acme/phone/phone:14/AB1A.240101.001/1234:user/release-keys'\n"
    b"ABI: 'arm64'\n"
    b"Timestamp: 2026-03-02 09:03:31.123456789+0100\n"
    b"Cmdline: com.acme.chat:remote\n"
    b"pid: 3559, tid: 3568, name: Thread-2  >>> com.acme.chat:remote <<<\n"
    b"uid: 10123\n"
    b"signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0000000000000010\n"
    b"    x0  0000000000000000  x1  0000000000000001\n"
)
MVT_CSV = (
    b"UTC Timestamp,Plugin,Event,Description\r\n"
    b'2026-03-02 09:00:00.123456,Datausage,first_usage,"chat/x (Bundle ID: com.acme.chat, ID: 7)"\r\n'
    b'2026-03-02 09:00:01.000000,Datausage,live_usage,"BackupAgent (Bundle ID: None, ID: 8)'
    b' WIFI IN: 0.0, WIFI OUT: 5.0 - WWAN IN: None, WWAN OUT: 20.0"\r\n'
    b'2026-03-02 09:00:02.000000,SMS,sms_received,"of two\nlines, with ""quotes"""\r\n'
)
MVT_ROWS = [
    {
        "timestamp": "2026-03-02 09:00:00.123456",
        "module": "Manifest",
        "event": "M-CB",
        "data": "Library/SMS/Attachments/65 - HomeDomain",
    },
    {
        "timestamp": "2026-03-02 09:00:01",
        "module": "LocationdClients",
        "event": "LocationTimeStopped",
        "data": "x",
    },
]
MDM = lines(
    {"type": "mdm.change", "device": "phone-1", "time": "2026-03-02T09:00:00Z", "vendor": "acme",
     "item": "device.operating-system.version", "from": "18.6", "to": "18.6.1"},
    {"type": "mdm.change", "device": "phone-1", "time": 1772442000000, "item": "passcode.is-compliant",
     "from": True, "to": False, "os": "ios", "supervised": True},
    {"type": "mdm.change", "device": "phone-1", "time": 1772442000000, "item": "app", "app": "com.acme.chat",
     "from": "4.1", "to": "4.2", "actor": "mdm", "managed": True},
    {"type": "mdm.change", "device": "phone-1", "time": 1772442000000, "item": "check-in"},
)  # fmt: skip
MTD = lines(
    {"type": "mtd.threat", "device": "phone-1", "time": "2026-03-02T09:00:00Z", "vendor": "acme", "id": "t1",
     "name": "Jailbreak", "category": "device", "severity": "Critical", "compromised": True, "os": "ios"},
    {"type": "mtd.threat", "device": "phone-1", "time": 1772442000000, "name": "Bad site",
     "category": "phishing", "severity": "moderate", "host": "Bad.Example.", "ip": "198.51.100.9"},
)  # fmt: skip
CANONICAL = b'{"kind":"net.flow","device":"d1","time":1700000000000,"bytes_out":5,"app":"com.acme"}\n'

GOOD: dict[str, bytes] = {
    "ndjson": CANONICAL * 3,
    "zeek": (
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tconn_state\n"
        b"1601998398.945854\tC1\t192.0.2.7\t8.8.8.8\t443\ttcp\tssl\t1.5\t4096\tSF\n"
        b"1601998399.5\tC2\tfe80::1\tff02::fb\t5353\tudp\t-\t-\t-\tS0\n"
        b'{"ts":1.5,"uid":"C3","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","id.resp_p":80,"proto":"tcp",'
        b'"duration":0.0018720000000023163,"orig_bytes":97,"conn_state":"SF"}\n'
    ),
    "zeek dns": (
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
        b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tproto\ttrans_id\tquery\tqtype_name\trcode_name\tanswers\n"
        b"1601998398.945854\tC1\t192.0.2.7\t192.0.2.1\tudp\t9\tA.example.com\tA\tNOERROR\tb.example.com,198.51.100.9\n"
        b'{"ts":1601998398.5,"uid":"C1","id.orig_h":"192.0.2.7","id.resp_h":"192.0.2.1","proto":"udp",'
        b'"trans_id":10,"query":"a.example.com","qtype_name":"AAAA","answers":["x"]}\n'
    ),
    "zeek ssl": (
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tssl\n"
        b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tid.resp_p\tversion\tcipher\tserver_name\testablished\tissuer\n"
        b"1601998398.945854\tC1\t192.0.2.7\t198.51.100.9\t443\tTLSv12\tTLS_AES\ta.example.com\tT\tCN=CA\n"
        b'{"ts":1601998398.5,"uid":"C2","id.orig_h":"192.0.2.7","id.resp_h":"198.51.100.9","id.resp_p":443,'
        b'"established":false,"ja4":"t13d"}\n'
    ),
    "suricata.eve": lines(EVE_FLOW, EVE_QUERY, EVE_ANSWER, EVE_TLS, EVE_ANOMALY, EVE_ALERT),
    "wireshark.csv": (
        b'"No.","Time","Source","Destination","Protocol","Length","Info"\n'
        b'1,0.000000,10.0.0.7,198.51.100.9,TCP,60,"[SYN] a, b"\n'
        b'2,0.000753,198.51.100.9,10.0.0.7,TLSv1.2,40,""\n'
    ),
    "fluent_bit": (
        b'[[1772442000.25,{"kind":"net.flow","device":"d1","bytes_out":5}],'
        b'[[1772442001.5,{}],{"kind":"net.flow","device":"d1","time":7}]]\n'
        b'[{"date":1772442002.5,"kind":"net.flow","device":"d1"},'
        b'{"date":1.5,"log":"{\\"ts\\":1.5,\\"id.orig_h\\":\\"10.0.0.1\\",\\"id.resp_h\\":\\"10.0.0.2\\",'
        b'\\"proto\\":\\"tcp\\",\\"conn_state\\":\\"SF\\"}"}]\n'
    ),
    "ios.app_privacy": (
        b'{"type":"access","accessor":{"identifier":"com.acme","identifierType":"bundleID"},"category":"camera",'
        b'"kind":"intervalBegin","identifier":"A1","timeStamp":"2022-04-27T10:53:24.555-04:00"}\n'
        b'{"type":"networkActivity","bundleID":"com.acme","domain":"a.example","hits":2,'
        b'"firstTimeStamp":"2022-04-27T10:53:24.555-04:00","timeStamp":"2022-04-27T10:59:24.555-04:00"}\n'
    ),
    "ios.powerlog": (
        b'{"table":"PLStorageOperator_EventForward_TimeOffset","ID":1,"timestamp":1635848600.25,"system":-411.5}\n'
        b'{"table":"PLProcessNetworkAgent_EventInterval_UsageDiff","ID":7,"timestamp":1635848700.5,'
        b'"timestampEnd":1635848760.5,"BundleName":"com.acme","ProcessName":"acme","WifiOut":10,"WifiIn":20}\n'
        b'{"table":"PLApplicationAgent_EventForward_Application","ID":9,"timestamp":1635848800.5,'
        b'"Identifier":"com.acme","State":8}\n'
    ),
    "ios.netusage": NETUSAGE,
    "ios.tcc": TCC,
    "ios.mobile_installation": INSTALLATION,
    "android.tombstone": TOMBSTONE,
    "mvt.timeline": MVT_CSV,
    "mvt.timeline json": json.dumps(MVT_ROWS, indent=4).encode(),
    "mvt.timeline lines": lines(*MVT_ROWS),
    "mdm": MDM,
    "mtd": MTD,
    "ios.ips": (
        b'{"bug_type":"309","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b'{"captureTime":"2022-01-06 15:09:22.6192 +0200","crashReporterKey":"k","procName":"p",'
        b'"exception":{"type":"EXC_CRASH","signal":"SIGKILL","codes":"0x0, 0x0"},'
        b'"termination":{"code":2343432205,"namespace":"FRONTBOARD"}}'
    ),
    "ios.ips text": (
        b'{"bug_type":"109","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b"CrashReporter Key:   k\nProcess:   p [1]\nDate/Time:   2021-10-22 00:14:53.0749 +0300\n"
        b"Exception Type:  EXC_BAD_ACCESS (SIGSEGV)\nTermination Reason: SIGNAL, [0xb]\nThread 0:\n"
    ),
    "ios.ips jetsam": (
        b'{"bug_type":"298","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b'{"crashReporterKey":"k","date":"2022-01-06 15:09:22.00 +0200","processes":[{"name":"p","pid":1,'
        b'"reason":"highwater"},{"name":"q","pid":2}]}'
    ),
}
