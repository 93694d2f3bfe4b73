// node-smpp as a client: does what it is told, one JSON object a line in and out.
//
// In:  {"do": "submit_sm", …fields}            Out: {"answer": "submit_sm_resp", "status": 0, …}
//      {"do": "receipts", "count": 2}          Out: {"receipts": [{…}, …]}
//      {"do": "unbind"}                        and the end
// Argument: the port.
const readline = require("readline");
const smpp = require("smpp");

const receipts = [];
let waiting = null;

function say(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

function plain(pdu) {
  const fields = {};
  for (const [name, value] of Object.entries(pdu)) {
    if (Buffer.isBuffer(value)) fields[name] = value.toString("latin1");
    else if (name === "short_message" || name === "message_payload") fields[name] = value.message;
    else if (typeof value !== "function") fields[name] = value;
  }
  return { answer: pdu.command, status: pdu.command_status, ...fields };
}

function told() {
  if (waiting !== null && receipts.length >= waiting) {
    say({ receipts: receipts.splice(0, waiting) });
    waiting = null;
  }
}

const session = smpp.connect({ url: `smpp://127.0.0.1:${process.argv[2]}` }, () => {
  session.bind_transceiver({ system_id: "demo", password: "demo" }, (pdu) => {
    say(plain(pdu));
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => {
      const { do: what, ...fields } = JSON.parse(line);
      if (what === "receipts") {
        waiting = fields.count;
        told();
      } else if (what === "unbind") {
        session.unbind({}, (answer) => {
          say(plain(answer));
          session.close(() => process.exit(0));
        });
      } else {
        session.send(new smpp.PDU(what, fields), (answer) => say(plain(answer)));
      }
    });
  });
});
session.on("deliver_sm", (pdu) => {
  receipts.push(plain(pdu));
  session.send(pdu.response());
  told();
});
session.on("enquire_link", (pdu) => session.send(pdu.response()));
session.on("unbind", (pdu) => session.send(pdu.response()));
session.on("error", (error) => {
  say({ error: error.message });
  process.exit(1);
});
