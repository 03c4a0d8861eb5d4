"""The patterns that grok expressions may name, called as they are in Logstash.

Written for hostd: in RE2's words, which have no look-around and no atomic groups, and so that as little as possible is
tried twice. They take what Logstash's take of real logs; an address or a host's name is taken more
loosely.
"""

from typing import Final

_WORDS: Final = {
    "USERNAME": r"[a-zA-Z0-9._-]+",
    "USER": r"%{USERNAME}",
    "EMAILLOCALPART": r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}",
    "EMAILADDRESS": r"%{EMAILLOCALPART}@%{HOSTNAME}",
    "INT": r"[+-]?[0-9]+",
    "BASE10NUM": r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)",
    "NUMBER": r"%{BASE10NUM}",
    "BASE16NUM": r"[+-]?(?:0x)?[0-9A-Fa-f]+",
    "BASE16FLOAT": r"[+-]?(?:0x)?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)",
    "POSINT": r"[1-9][0-9]*",
    "NONNEGINT": r"[0-9]+",
    "WORD": r"\b\w+\b",
    "NOTSPACE": r"\S+",
    "SPACE": r"\s*",
    "DATA": r".*?",
    "GREEDYDATA": r".*",
    "QUOTEDSTRING": (r"""(?:"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|`[^`\\]*(?:\\.[^`\\]*)*`)"""),
    "QS": r"%{QUOTEDSTRING}",
    "UUID": r"[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}",
    "URN": r"urn:[0-9A-Za-z][0-9A-Za-z-]{0,31}:[0-9A-Za-z()+,.:=@;$_!*'/?#%-]+",
}

_NETWORK: Final = {
    "MAC": r"(?:%{COMMONMAC}|%{WINDOWSMAC}|%{CISCOMAC})",
    "CISCOMAC": r"[A-Fa-f0-9]{4}\.[A-Fa-f0-9]{4}\.[A-Fa-f0-9]{4}",
    "WINDOWSMAC": r"[A-Fa-f0-9]{2}(?:-[A-Fa-f0-9]{2}){5}",
    "COMMONMAC": r"[A-Fa-f0-9]{2}(?::[A-Fa-f0-9]{2}){5}",
    "IPV4": r"%{_OCTET}\.%{_OCTET}\.%{_OCTET}\.%{_OCTET}",
    "_OCTET": r"(?:2(?:5[0-5]?|[0-4][0-9]?|[6-9])?|[01][0-9]{0,2}|[3-9][0-9]?)",
    "IPV6": (
        r"(?:(?:[0-9A-Fa-f]{1,4}:){6}[0-9A-Fa-f:.]+|(?:(?:[0-9A-Fa-f]{1,4}:)+|:):[0-9A-Fa-f:.]*)"
        r"(?:%[0-9A-Za-z.-]+)?"
    ),
    "IP": r"(?:%{IPV4}|%{IPV6})",
    "HOSTNAME": r"\b[0-9A-Za-z_][0-9A-Za-z._-]*",
    "IPORHOST": r"(?:%{HOSTNAME}|%{IPV6})",
    "HOST": r"%{HOSTNAME}",
    "HOSTPORT": r"%{IPORHOST}:%{POSINT}",
    "PATH": r"(?:%{UNIXPATH}|%{WINPATH})",
    "UNIXPATH": r"/[\w%!$@:.,+~/-]*",
    "TTY": r"/dev/(?:pts|tty[pq]?)\w*/?[0-9]*",
    "WINPATH": r"(?:[A-Za-z]+:|\\)\\[^?*:|<>\"]*",
    "URIPROTO": r"[A-Za-z][A-Za-z0-9+.-]+",
    "URIHOST": r"%{IPORHOST}(?::%{POSINT:port})?",
    "URIPATH": r"/[A-Za-z0-9$.+!*'(){},~:;=@#%&_/-]*",
    "URIQUERY": r"[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\[\]<>-]*",
    "URIPARAM": r"\?%{URIQUERY}",
    "URIPATHPARAM": r"%{URIPATH}(?:%{URIPARAM})?",
    "URI": r"%{URIPROTO}://(?:%{USER}(?::[^@\s/]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?",
}

_TIMES: Final = {
    "MONTH": (
        r"(?:[Jj](?:an(?:uary)?|u(?:ne?|ly?))|[Ff]eb(?:ruary)?|[Mm]a(?:r(?:ch)?|y)|[Aa](?:pr(?:il)?|ug(?:ust)?)"
        r"|[Ss]ep(?:t(?:ember)?)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)"
    ),
    "MONTHNUM": r"(?:0[1-9]|1[0-2]?|[2-9])",
    "MONTHNUM2": r"(?:0[1-9]|1[0-2])",
    "MONTHDAY": r"(?:0[1-9]|[12][0-9]?|3[01]?|[4-9])",
    "DAY": r"(?:Mon(?:day)?|T(?:ue(?:sday)?|hu(?:rsday)?)|Wed(?:nesday)?|Fri(?:day)?|S(?:at(?:urday)?|un(?:day)?))",
    "YEAR": r"[0-9]{2}(?:[0-9]{2})?",
    "HOUR": r"(?:[01][0-9]?|2[0-3]?|[3-9])",
    "MINUTE": r"[0-5][0-9]",
    "SECOND": r"(?:[0-5][0-9]?|60?|[7-9])(?:[:.,][0-9]+)?",
    "TIME": r"%{HOUR}:%{MINUTE}:%{SECOND}",
    "DATE_US": r"%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}",
    "DATE_EU": r"%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}",
    "ISO8601_TIMEZONE": r"(?:Z|[+-]%{HOUR}:?%{MINUTE})",
    "ISO8601_SECOND": r"%{SECOND}",
    "TIMESTAMP_ISO8601": (r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?%{ISO8601_TIMEZONE}?"),
    "DATE": r"(?:%{DATE_US}|%{DATE_EU})",
    "DATESTAMP": r"%{DATE}[- ]%{TIME}",
    "TZ": r"(?:[APMCE][SD]T|UTC)",
    "DATESTAMP_RFC822": r"%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}",
    "DATESTAMP_RFC2822": r"%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}",
    "DATESTAMP_OTHER": r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}",
    "DATESTAMP_EVENTLOG": r"%{YEAR}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}",
    "SYSLOGTIMESTAMP": r"%{MONTH} +%{MONTHDAY} %{TIME}",
    "HTTPDATE": r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}",
    "HTTPDERROR_DATE": r"%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{YEAR}",
    "TOMCAT_DATESTAMP": r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND} %{ISO8601_TIMEZONE}",
    "CATALINA_DATESTAMP": r"%{MONTH} %{MONTHDAY}, %{YEAR} %{HOUR}:%{MINUTE}:%{SECOND} (?:AM|PM)",
}

_LINES: Final = {
    "LOGLEVEL": (
        r"(?:A(?:lert|LERT)|alert|C(?:rit(?:ical)?|RIT(?:ICAL)?)|crit(?:ical)?|D(?:ebug|EBUG)|debug"
        r"|E(?:rr(?:or)?|RR(?:OR)?|merg(?:ency)?|MERG(?:ENCY)?)|e(?:rr(?:or)?|merg(?:ency)?)|F(?:atal|ATAL)|fatal"
        r"|I(?:nfo(?:rmation)?|NFO(?:RMATION)?)|info(?:rmation)?|N(?:otice|OTICE)|notice|S(?:evere|EVERE)|severe"
        r"|T(?:race|RACE)|trace|W(?:arn(?:ing)?|ARN(?:ING)?)|warn(?:ing)?)"
    ),
    "PROG": r"[!-Z\\^-~]+",
    "SYSLOGPROG": r"%{PROG:program}(?:\[%{POSINT:pid}\])?",
    "SYSLOGHOST": r"%{IPORHOST}",
    "SYSLOGFACILITY": r"<%{NONNEGINT:facility}\.%{NONNEGINT:priority}>",
    "SYSLOGBASE": r"%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource} %{SYSLOGPROG}:",
    "SYSLOGLINE": r"%{SYSLOGBASE} %{GREEDYDATA:message}",
    "HTTPDUSER": r"[a-zA-Z0-9._@-]+",
    "COMMONAPACHELOG": (
        r"%{IPORHOST:clientip} %{HTTPDUSER:ident} %{HTTPDUSER:auth} \[%{HTTPDATE:timestamp}\] "
        r'"(?:%{WORD:verb} (?<request>[^\s"]+)(?: HTTP/%{NUMBER:httpversion})?|(?<rawrequest>[^"]*))"'
        r" (?:%{INT:response}|-) (?:%{INT:bytes}|-)"
    ),
    "COMBINEDAPACHELOG": r"%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}",
    "HTTPD_COMMONLOG": r"%{COMMONAPACHELOG}",
    "HTTPD_COMBINEDLOG": r"%{COMBINEDAPACHELOG}",
    "JAVACLASS": r"[a-zA-Z$_][a-zA-Z$_0-9.]*",
    "JAVAFILE": r"[A-Za-z0-9_. -]+",
    "JAVAMETHOD": r"(?:<init>|<clinit>|[a-zA-Z$_][a-zA-Z$_0-9]*)",
    "JAVASTACKTRACEPART": (r"\s*at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line})?\)"),
    "JAVATHREAD": r"[A-Z]{2}-Processor[0-9]+",
    "CRON_ACTION": r"[A-Z ]+",
    "CRONLOG": r"%{SYSLOGBASE} \(%{USER:user}\) %{CRON_ACTION:action} \(%{DATA:message}\)",
}

PATTERNS: Final = {**_WORDS, **_NETWORK, **_TIMES, **_LINES}
