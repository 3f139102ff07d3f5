"""The options of an SSH configuration that are not honoured, and why; said once each."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["is_known", "reason_to_say"]

_KERBEROS = "Kerberos is not supported"
_SHARED = "connections are kept open and shared for the whole run anyway"
_FORWARDED = "nothing is forwarded"
_CANONICAL = "names are taken as they are"
_METHODS = "ways to log in are chosen by what there is: keys, the agent, a password that was asked"
_DNS = "host keys come from files only"

#: By the keyword in lower case, why nothing is done.
_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "addkeystoagent": "the agent is asked, never changed",
        "bindinterface": "use BindAddress",
        "canonicaldomains": _CANONICAL,
        "canonicalizefallbacklocal": _CANONICAL,
        "canonicalizehostname": _CANONICAL,
        "canonicalizemaxdots": _CANONICAL,
        "canonicalizepermittedcnames": _CANONICAL,
        "casignaturealgorithms": "certificates of hosts are not supported",
        "challengeresponseauthentication": _METHODS,
        "checkhostip": "addresses are not kept beside names",
        "compression": "nothing is compressed",
        "connectionattempts": "use retries",
        "controlmaster": _SHARED,
        "controlpath": _SHARED,
        "controlpersist": _SHARED,
        "dsaauthentication": _METHODS,
        "dynamicforward": _FORWARDED,
        "enablesshkeysign": "hosts do not log in here",
        "forwardagent": _FORWARDED,
        "forwardx11": _FORWARDED,
        "gatewayports": _FORWARDED,
        "gssapiauthentication": _KERBEROS,
        "gssapiclientidentity": _KERBEROS,
        "gssapidelegatecredentials": _KERBEROS,
        "gssapikexalgorithms": _KERBEROS,
        "gssapikeyexchange": _KERBEROS,
        "gssapirenewalforcesrekey": _KERBEROS,
        "gssapiserveridentity": _KERBEROS,
        "gssapitrustdns": _KERBEROS,
        "hostbasedacceptedalgorithms": "hosts do not log in here",
        "hostbasedauthentication": "hosts do not log in here",
        "hostbasedkeytypes": "hosts do not log in here",
        "kbdinteractiveauthentication": _METHODS,
        "kbdinteractivedevices": _METHODS,
        "knownhostscommand": _DNS,
        "localcommand": "no command is run here",
        "localforward": _FORWARDED,
        "nohostauthenticationforlocalhost": "this machine is checked like any other",
        "passwordauthentication": _METHODS,
        "pkcs11provider": "keys on smart cards are not supported but in an agent",
        "preferredauthentications": _METHODS,
        "proxyusefdpass": "a ProxyCommand must carry the data itself",
        "pubkeyacceptedalgorithms": "the algorithm follows from the key",
        "pubkeyacceptedkeytypes": "the algorithm follows from the key",
        "pubkeyauthentication": _METHODS,
        "rekeylimit": "keys are renewed as the library sees fit",
        "remotecommand": "what runs on a host is said in the job",
        "remoteforward": _FORWARDED,
        "requiredrsasize": "any length of key is taken that the library takes",
        "revokedhostkeys": "mark revoked keys with @revoked in a file of known hosts",
        "securitykeyprovider": "keys on FIDO tokens are not supported but in an agent",
        "sendenv": "use env in the job",
        "setenv": "use env in the job",
        "smartcarddevice": "keys on smart cards are not supported but in an agent",
        "tunnel": _FORWARDED,
        "tunneldevice": _FORWARDED,
        "updatehostkeys": "files of known hosts are only added to, by accept-new",
        "verifyhostkeydns": _DNS,
    }
)
#: They are about terminals and people, are obsolete, or make no difference to what is done here.
_SILENT = frozenset(
    (
        "afstokenpassing",
        "batchmode",
        "channeltimeout",
        "cipher",
        "clearallforwardings",
        "compressionlevel",
        "enableescapecommandline",
        "escapechar",
        "exitonforwardfailure",
        "fallbacktorsh",
        "fingerprinthash",
        "forkafterauthentication",
        "forwardx11timeout",
        "forwardx11trusted",
        "globalknownhostsfile2",
        "ipqos",
        "keepalive",
        "kerberosauthentication",
        "kerberostgtpassing",
        "loglevel",
        "logverbose",
        "numberofpasswordprompts",
        "obscurekeystroketiming",
        "permitlocalcommand",
        "permitremoteopen",
        "protocol",
        "refuseconnection",
        "requesttty",
        "rhostsauthentication",
        "rhostsrsaauthentication",
        "rsaauthentication",
        "sessiontype",
        "skeyauthentication",
        "stdinnull",
        "streamlocalbindmask",
        "streamlocalbindunlink",
        "syslogfacility",
        "tcpkeepalive",
        "tisauthentication",
        "useprivilegedport",
        "userknownhostsfile2",
        "userroaming",
        "useroaming",
        "usersh",
        "versionaddendum",
        "visualhostkey",
        "warnweakcrypto",
        "xauthlocation",
    )
)
#: With one of these values they ask for what is done anyway.
_OFF = frozenset(("no", "false", "none", "off"))
#: With this value too.
_ON = frozenset(("yes", "true"))
_DONE_ANYWAY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "canonicalizefallbacklocal": _ON,
        "challengeresponseauthentication": _ON,
        "connectionattempts": frozenset("1"),
        "dsaauthentication": _ON,
        "kbdinteractiveauthentication": _ON,
        "passwordauthentication": _ON,
        "pubkeyauthentication": _ON,
        "rekeylimit": frozenset(("default none", "default")),
        "updatehostkeys": _OFF | _ON,
    }
)
#: Distributions write these into the configuration of the machine, for everybody.
_DISTRIBUTED = frozenset(
    ("gssapiauthentication", "gssapidelegatecredentials", "sendenv", "forwardx11")
)


def is_known(keyword: str) -> bool:
    """Tell whether OpenSSH has such an option, among those that are not honoured."""
    return keyword in _REASONS or keyword in _SILENT


def reason_to_say(keyword: str, value: str, *, of_machine: bool) -> str:
    """Return why an option is not honoured; empty: nothing is lost by that, or nobody asked for it.

    Args:
        keyword: In lower case.
        value: The rest of its line.
        of_machine: Whether it is from the configuration that came with the system.
    """
    if keyword in _SILENT or (of_machine and keyword in _DISTRIBUTED):
        return ""
    if value.strip().lower() in _DONE_ANYWAY.get(keyword, _OFF):
        return ""
    return _REASONS.get(keyword, "it is not known here")
