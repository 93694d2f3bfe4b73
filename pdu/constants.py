"""The numbers of SMPP and their names, side by side.

Sources: SMPP 3.4 Issue 1.2 §5.1.2.1 (command_id), §5.1.3 (command_status), §5.2 (fields); SMPP 5.0 §4.7 for the rest.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class CommandId(IntEnum):
    """SMPP 3.4 §5.1.2.1; the broadcast operations from 5.0 §4.7.5, known by name only.

    A response is its request with the high bit set.
    """

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = 0x00000001
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER = 0x00000002
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM = 0x00000003
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM = 0x00000004
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM = 0x00000005
    DELIVER_SM_RESP = 0x80000005
    UNBIND = 0x00000006
    UNBIND_RESP = 0x80000006
    REPLACE_SM = 0x00000007
    REPLACE_SM_RESP = 0x80000007
    CANCEL_SM = 0x00000008
    CANCEL_SM_RESP = 0x80000008
    BIND_TRANSCEIVER = 0x00000009
    BIND_TRANSCEIVER_RESP = 0x80000009
    OUTBIND = 0x0000000B
    ENQUIRE_LINK = 0x00000015
    ENQUIRE_LINK_RESP = 0x80000015
    SUBMIT_MULTI = 0x00000021
    SUBMIT_MULTI_RESP = 0x80000021
    ALERT_NOTIFICATION = 0x00000102
    DATA_SM = 0x00000103
    DATA_SM_RESP = 0x80000103
    BROADCAST_SM = 0x00000111
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM = 0x00000112
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM = 0x00000113
    CANCEL_BROADCAST_SM_RESP = 0x80000113


class CommandStatus(IntEnum):
    """SMPP 3.4 §5.1.3; from 0x100 on SMPP 5.0 §4.7.6."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RCANCELFAIL = 0x11
    ESME_RREPLACEFAIL = 0x13
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVNUMDESTS = 0x33
    ESME_RINVDLNAME = 0x34
    ESME_RINVDESTFLAG = 0x40
    ESME_RINVSUBREP = 0x42
    ESME_RINVESMCLASS = 0x43
    ESME_RCNTSUBDL = 0x44
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RINVREPFLAG = 0x54
    ESME_RINVNUMMSGS = 0x55
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RINVDFTMSGID = 0x63
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RQUERYFAIL = 0x67
    ESME_RINVOPTPARSTREAM = 0xC0
    ESME_ROPTPARNOTALLWD = 0xC1
    ESME_RINVPARLEN = 0xC2
    ESME_RMISSINGOPTPARAM = 0xC3
    ESME_RINVOPTPARAMVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF
    ESME_RSERTYPUNAUTH = 0x100
    ESME_RPROHIBITED = 0x101
    ESME_RSERTYPUNAVAIL = 0x102
    ESME_RSERTYPDENIED = 0x103
    ESME_RINVDCS = 0x104
    ESME_RINVSRCADDRSUBUNIT = 0x105
    ESME_RINVDSTADDRSUBUNIT = 0x106
    ESME_RINVBCASTFREQINT = 0x107
    ESME_RINVBCASTALIAS_NAME = 0x108
    ESME_RINVBCASTAREAFMT = 0x109
    ESME_RINVNUMBCAST_AREAS = 0x10A
    ESME_RINVBCASTCNTTYPE = 0x10B
    ESME_RINVBCASTMSGCLASS = 0x10C
    ESME_RBCASTFAIL = 0x10D
    ESME_RBCASTQUERYFAIL = 0x10E
    ESME_RBCASTCANCELFAIL = 0x10F
    ESME_RINVBCAST_REP = 0x110
    ESME_RINVBCASTSRVGRP = 0x111
    ESME_RINVBCASTCHANIND = 0x112


#: What a command_status says, in a few words: SMPP 3.4 §5.1.3, SMPP 5.0 §4.7.6.
EXPLANATIONS: dict[int, str] = {
    CommandStatus.ESME_ROK: "no error",
    CommandStatus.ESME_RINVMSGLEN: "message length is invalid",
    CommandStatus.ESME_RINVCMDLEN: "command length is invalid",
    CommandStatus.ESME_RINVCMDID: "invalid command id",
    CommandStatus.ESME_RINVBNDSTS: "wrong bind status for this command",
    CommandStatus.ESME_RALYBND: "already bound",
    CommandStatus.ESME_RINVPRTFLG: "invalid priority flag",
    CommandStatus.ESME_RINVREGDLVFLG: "invalid registered delivery flag",
    CommandStatus.ESME_RSYSERR: "system error",
    CommandStatus.ESME_RINVSRCADR: "invalid source address",
    CommandStatus.ESME_RINVDSTADR: "invalid destination address",
    CommandStatus.ESME_RINVMSGID: "invalid message id",
    CommandStatus.ESME_RBINDFAIL: "bind failed",
    CommandStatus.ESME_RINVPASWD: "invalid password",
    CommandStatus.ESME_RINVSYSID: "invalid system id",
    CommandStatus.ESME_RCANCELFAIL: "cancelling failed",
    CommandStatus.ESME_RREPLACEFAIL: "replacing failed",
    CommandStatus.ESME_RMSGQFUL: "message queue is full",
    CommandStatus.ESME_RINVSERTYP: "invalid service type",
    CommandStatus.ESME_RINVNUMDESTS: "invalid number of destinations",
    CommandStatus.ESME_RINVDLNAME: "invalid name of a distribution list",
    CommandStatus.ESME_RINVDESTFLAG: "invalid destination flag",
    CommandStatus.ESME_RINVSUBREP: "submitting with replacement is not supported",
    CommandStatus.ESME_RINVESMCLASS: "invalid esm_class",
    CommandStatus.ESME_RCNTSUBDL: "cannot submit to a distribution list",
    CommandStatus.ESME_RSUBMITFAIL: "submitting failed",
    CommandStatus.ESME_RINVSRCTON: "invalid source type of number",
    CommandStatus.ESME_RINVSRCNPI: "invalid source numbering plan",
    CommandStatus.ESME_RINVDSTTON: "invalid destination type of number",
    CommandStatus.ESME_RINVDSTNPI: "invalid destination numbering plan",
    CommandStatus.ESME_RINVSYSTYP: "invalid system type",
    CommandStatus.ESME_RINVREPFLAG: "invalid replace_if_present flag",
    CommandStatus.ESME_RINVNUMMSGS: "invalid number of messages",
    CommandStatus.ESME_RTHROTTLED: "too many messages a second",
    CommandStatus.ESME_RINVSCHED: "invalid scheduled delivery time",
    CommandStatus.ESME_RINVEXPIRY: "invalid validity period",
    CommandStatus.ESME_RINVDFTMSGID: "invalid predefined message",
    CommandStatus.ESME_RX_T_APPN: "receiver: temporary error",
    CommandStatus.ESME_RX_P_APPN: "receiver: permanent error",
    CommandStatus.ESME_RX_R_APPN: "receiver: message rejected",
    CommandStatus.ESME_RQUERYFAIL: "query failed",
    CommandStatus.ESME_RINVOPTPARSTREAM: "error in the optional part of the body",
    CommandStatus.ESME_ROPTPARNOTALLWD: "optional parameter is not allowed",
    CommandStatus.ESME_RINVPARLEN: "invalid length of a parameter",
    CommandStatus.ESME_RMISSINGOPTPARAM: "expected optional parameter is missing",
    CommandStatus.ESME_RINVOPTPARAMVAL: "invalid value of an optional parameter",
    CommandStatus.ESME_RDELIVERYFAILURE: "delivery failed",
    CommandStatus.ESME_RUNKNOWNERR: "unknown error",
    CommandStatus.ESME_RSERTYPUNAUTH: "not authorised for this service type",
    CommandStatus.ESME_RPROHIBITED: "not authorised for this operation",
    CommandStatus.ESME_RSERTYPUNAVAIL: "service type is not available",
    CommandStatus.ESME_RSERTYPDENIED: "service type is denied",
    CommandStatus.ESME_RINVDCS: "invalid data coding",
    CommandStatus.ESME_RINVSRCADDRSUBUNIT: "invalid source address subunit",
    CommandStatus.ESME_RINVDSTADDRSUBUNIT: "invalid destination address subunit",
    CommandStatus.ESME_RINVBCASTFREQINT: "invalid broadcast frequency interval",
    CommandStatus.ESME_RINVBCASTALIAS_NAME: "invalid broadcast alias",
    CommandStatus.ESME_RINVBCASTAREAFMT: "invalid format of a broadcast area",
    CommandStatus.ESME_RINVNUMBCAST_AREAS: "invalid number of broadcast areas",
    CommandStatus.ESME_RINVBCASTCNTTYPE: "invalid broadcast content type",
    CommandStatus.ESME_RINVBCASTMSGCLASS: "invalid broadcast message class",
    CommandStatus.ESME_RBCASTFAIL: "broadcast failed",
    CommandStatus.ESME_RBCASTQUERYFAIL: "query of a broadcast failed",
    CommandStatus.ESME_RBCASTCANCELFAIL: "cancelling a broadcast failed",
    CommandStatus.ESME_RINVBCAST_REP: "invalid number of repetitions of a broadcast",
    CommandStatus.ESME_RINVBCASTSRVGRP: "invalid broadcast service group",
    CommandStatus.ESME_RINVBCASTCHANIND: "invalid broadcast channel",
}


#: What a client that speaks less than 5.0 is told instead of a status that only 5.0 has (0x100 to 0x112, 5.0 §4.7.6):
#: all of them permanent, as those are, so that nobody tries again for nothing.
BEFORE_5_0: dict[int, CommandStatus] = {
    CommandStatus.ESME_RSERTYPUNAUTH: CommandStatus.ESME_RINVSERTYP,
    CommandStatus.ESME_RPROHIBITED: CommandStatus.ESME_RSUBMITFAIL,
    CommandStatus.ESME_RSERTYPUNAVAIL: CommandStatus.ESME_RINVSERTYP,
    CommandStatus.ESME_RSERTYPDENIED: CommandStatus.ESME_RINVSERTYP,
    CommandStatus.ESME_RINVDCS: CommandStatus.ESME_RSUBMITFAIL,
    CommandStatus.ESME_RINVSRCADDRSUBUNIT: CommandStatus.ESME_RINVOPTPARAMVAL,
    CommandStatus.ESME_RINVDSTADDRSUBUNIT: CommandStatus.ESME_RINVOPTPARAMVAL,
}


def status_for(interface_version: int, command_status: int) -> int:
    """A command_status as a client that bound with this interface_version knows it. A vendor's own (0x400 to 0x4FF)
    were there before 5.0 and stay."""
    if interface_version >= 0x50 or not 0x100 <= command_status < 0x400:
        return command_status
    return BEFORE_5_0.get(command_status, CommandStatus.ESME_RUNKNOWNERR)


def explain_status(command_status: int) -> str:
    """Return the name of a command_status and what it says, also of one that has no name here."""
    if command_status in EXPLANATIONS:
        return f"{CommandStatus(command_status).name}: {EXPLANATIONS[command_status]}"
    if 0x400 <= command_status <= 0x4FF:  # SMPP 3.4 §5.1.3
        return f"0x{command_status:08X}: known to its vendor"
    return f"0x{command_status:08X}: not defined"


class MessageState(IntEnum):
    """SMPP 3.4 §5.2.28; SCHEDULED and SKIPPED from 5.0 §4.7.15."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


def state_for(interface_version: int, state: MessageState) -> MessageState:
    """A state as a client that bound with this interface_version knows it: the two of 5.0 say more than one of 3.4."""
    if interface_version >= 0x50:
        return state
    return _STATES_BEFORE_5_0.get(state, state)


_STATES_BEFORE_5_0 = {
    MessageState.SCHEDULED: MessageState.ENROUTE,
    MessageState.SKIPPED: MessageState.UNDELIVERABLE,
}


class Tag(IntEnum):
    """TLV tags: SMPP 3.4 §5.3.2; CONGESTION_STATE and 0x0600 to 0x0613 from SMPP 5.0 §4.8.4.

    `tlv.WIRE` has their types.
    """

    DEST_ADDR_SUBUNIT = 0x0005
    DEST_NETWORK_TYPE = 0x0006
    DEST_BEARER_TYPE = 0x0007
    DEST_TELEMATICS_ID = 0x0008
    SOURCE_ADDR_SUBUNIT = 0x000D
    SOURCE_NETWORK_TYPE = 0x000E
    SOURCE_BEARER_TYPE = 0x000F
    SOURCE_TELEMATICS_ID = 0x0010
    QOS_TIME_TO_LIVE = 0x0017
    PAYLOAD_TYPE = 0x0019
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D
    RECEIPTED_MESSAGE_ID = 0x001E
    MS_MSG_WAIT_FACILITIES = 0x0030
    PRIVACY_INDICATOR = 0x0201
    SOURCE_SUBADDRESS = 0x0202
    DEST_SUBADDRESS = 0x0203
    USER_MESSAGE_REFERENCE = 0x0204
    USER_RESPONSE_CODE = 0x0205
    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_MSG_REF_NUM = 0x020C
    LANGUAGE_INDICATOR = 0x020D
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    CALLBACK_NUM_PRES_IND = 0x0302
    CALLBACK_NUM_ATAG = 0x0303
    NUMBER_OF_MESSAGES = 0x0304
    CALLBACK_NUM = 0x0381
    DPF_RESULT = 0x0420
    SET_DPF = 0x0421
    MS_AVAILABILITY_STATUS = 0x0422
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    DELIVERY_FAILURE_REASON = 0x0425
    MORE_MESSAGES_TO_SEND = 0x0426
    MESSAGE_STATE = 0x0427
    CONGESTION_STATE = 0x0428
    USSD_SERVICE_OP = 0x0501
    BROADCAST_CHANNEL_INDICATOR = 0x0600
    BROADCAST_CONTENT_TYPE = 0x0601
    BROADCAST_CONTENT_TYPE_INFO = 0x0602
    BROADCAST_MESSAGE_CLASS = 0x0603
    BROADCAST_REP_NUM = 0x0604
    BROADCAST_FREQUENCY_INTERVAL = 0x0605
    BROADCAST_AREA_IDENTIFIER = 0x0606
    BROADCAST_ERROR_STATUS = 0x0607
    BROADCAST_AREA_SUCCESS = 0x0608
    BROADCAST_END_TIME = 0x0609
    BROADCAST_SERVICE_GROUP = 0x060A
    BILLING_IDENTIFICATION = 0x060B
    SOURCE_NETWORK_ID = 0x060D
    DEST_NETWORK_ID = 0x060E
    SOURCE_NODE_ID = 0x060F
    DEST_NODE_ID = 0x0610
    DEST_ADDR_NP_RESOLUTION = 0x0611
    DEST_ADDR_NP_INFORMATION = 0x0612
    DEST_ADDR_NP_COUNTRY = 0x0613
    DISPLAY_TIME = 0x1201
    SMS_SIGNAL = 0x1203
    MS_VALIDITY = 0x1204
    ALERT_ON_MESSAGE_DELIVERY = 0x130C
    ITS_REPLY_TYPE = 0x1380
    ITS_SESSION_INFO = 0x1383


class VendorTag(IntEnum):
    """Out of the range 0x1400–0x3FFF that SMPP 3.4 §5.3.1 leaves to vendors: what smsc.ru puts in its receipts, and one
    of ours."""

    #: Price of the message, `n.nnnn`.
    SMSC_COST = 0x2000
    #: Bits 0–3 the type of message, bit 5 paid from the second balance, bits 8–10 template.
    SMSC_FLAGS = 0x2001
    #: How many short messages it took.
    SMSC_PARTS = 0x2002
    #: Not explained by the vendor; at most four characters.
    SMSC_2003 = 0x2003
    #: Ours: in a DELIVER_SM the provider's id of the subscriber's message that it carries, in a SUBMIT_SM that of the
    #: message it answers.
    INCOMING_ID = 0x2101


class Ton(IntEnum):
    """Type of number, SMPP 3.4 §5.2.5."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER_NUMBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator, SMPP 3.4 §5.2.6."""

    UNKNOWN = 0
    ISDN = 1
    DATA = 3
    TELEX = 4
    LAND_MOBILE = 6
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP = 18


class DataCoding(IntEnum):
    """SMPP 3.4 §5.2.19. What 0 means is agreed with the client: see `text.Alphabet`."""

    DEFAULT = 0x00
    IA5 = 0x01
    OCTET_UNSPECIFIED_2 = 0x02
    LATIN_1 = 0x03
    #: Octets by the specification; ISO-8859-1 text as well for clients of smsc.ru.
    OCTET_UNSPECIFIED = 0x04
    JIS = 0x05
    CYRILLIC = 0x06
    HEBREW = 0x07
    UCS2 = 0x08
    PICTOGRAM = 0x09
    ISO_2022_JP = 0x0A
    EXTENDED_KANJI_JIS = 0x0D
    KS_C_5601 = 0x0E


class EsmClass(IntFlag):
    """SMPP 3.4 §5.2.12. Bits 0–1 the messaging mode, bits 2–5 the type of message, bits 6–7 GSM features."""

    DATAGRAM = 0x01
    TRANSACTION = 0x02
    STORE_AND_FORWARD = 0x03
    #: DELIVER_SM carries a delivery receipt.
    RECEIPT = 0x04
    DELIVERY_ACK = 0x08
    USER_ACK = 0x10
    CONVERSATION_ABORT = 0x18
    #: DELIVER_SM carries an intermediate notification.
    INTERMEDIATE = 0x20
    #: The user data starts with a header.
    UDHI = 0x40
    REPLY_PATH = 0x80


class RegisteredDelivery(IntFlag):
    """SMPP 3.4 §5.2.17.

    Bits 0–1 are a number, not flags: compare `value & RECEIPT_MASK` with one of the first three.
    """

    RECEIPT = 0x01
    RECEIPT_ON_FAILURE = 0x02
    #: SMPP 5.0 §4.7.21; reserved in 3.4.
    RECEIPT_ON_SUCCESS = 0x03
    RECEIPT_MASK = 0x03
    ACK_DELIVERY = 0x04
    ACK_USER = 0x08
    INTERMEDIATE = 0x10
