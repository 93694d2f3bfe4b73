# Net::SMPP as a client: bind, submit, query, receipts, unbind; one line "key value …" for each answer.
# Argument: the port.
use strict;
use warnings;
use Net::SMPP;

$| = 1;
my $smpp = Net::SMPP->new_transceiver('127.0.0.1', port => $ARGV[0], system_id => 'demo', password => 'demo')
    or die "cannot bind: $!";
print "bound\n";

my $answer = $smpp->submit_sm(
    source_addr => 'TEST', destination_addr => '79991234567', short_message => 'Hello from Perl',
    registered_delivery => 1);
printf "submitted %d %s\n", $answer->{status}, $answer->{message_id};
my $id = $answer->{message_id};

while (my $pdu = $smpp->read_pdu()) {
    if ($pdu->{cmd} == 0x05) {
        printf "receipt %d %s\n", $pdu->{esm_class}, $pdu->{short_message};
        $smpp->deliver_sm_resp(seq => $pdu->{seq}, message_id => '');
        last;
    }
}

my $refused = $smpp->submit_sm(source_addr => 'TEST', destination_addr => 'nobody', short_message => 'Hello');
printf "refused %d\n", $refused->{status};

my $state = $smpp->query_sm(message_id => $id, source_addr => 'TEST');
printf "state %d %d %s\n", $state->{status}, $state->{message_state}, $state->{final_date};

my $unbound = $smpp->unbind();
printf "unbound %d\n", $unbound->{status};
