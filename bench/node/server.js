// node-smpp's server with an empty handler: answers, stores nothing.
const smpp = require("smpp");
let id = 0;
const server = smpp.createServer((session) => {
  session.on("bind_transceiver", (pdu) => session.send(pdu.response()));
  session.on("submit_sm", (pdu) => session.send(pdu.response({ message_id: String(++id) })));
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => { session.send(pdu.response()); session.close(); });
  session.on("error", () => session.close());
});
server.listen(Number(process.argv[2] || 0), "127.0.0.1", () => console.log(server.address().port));
