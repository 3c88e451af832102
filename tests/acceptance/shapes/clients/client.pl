# A client of Perl's library: `URL`, to which it sends JSON and a form, each to its path.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;

my $url = $ARGV[0];
my $text = "caf\x{e9} \"q\" \\ / <b> & \x{1f600}";
my $http = HTTP::Tiny->new;
my $message = JSON::PP->new->utf8->pretty->canonical->encode(
    { conversationId => 'c1', content => $text, draft => JSON::PP::false, n => 1.5, replyTo => undef });
$http->post("$url/api/messages", { headers => { 'Content-Type' => 'application/json' }, content => $message });
$http->post_form("$url/posts", { content => $text, title => 'a b' });
