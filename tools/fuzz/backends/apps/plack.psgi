# A PSGI application that reports what Plack reads: RECORD and CONTRACT stand in the environment.
use strict;
use warnings;
use JSON::PP;
use Plack::Request;

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my @routes = map {
    my $pattern = $_->{path} =~ s/\{(\w+)\}/(?<$1>[^\/]+)/gr;
    +{ %$_, pattern => qr{\A$pattern/?\z} };
} @{ $json->decode($ENV{CONTRACT}) };

sub document {
    my $found = eval { $json->decode($_[0]) };
    return ref $found eq 'HASH' ? $found : {};
}

# What stands under a name; `user.card` is a member of a member.
sub dig {
    my ($bag, $name) = @_;
    for my $one (split /\./, $name) {
        return undef unless ref $bag eq 'HASH';
        $bag = $bag->{$one};
    }
    return $bag;
}

sub reading {
    my ($request, $route, $idiom, $bag, $query, $path) = @_;
    my $name = $route->{conversation};
    my %sources = (
        json   => sub { dig($bag, $name) },
        query  => sub { $query->{$name} },
        header => sub { $request->header($name) },
        path   => sub { $path->{$name} },
        ''     => sub { undef },
    );
    my %values = map { $_ => scalar(/\Ax-/ ? $request->header($_) : dig($bag, $_)) } @{ $route->{fields} };
    return { i => $idiom, c => scalar($sources{ $route->{source} }->()), v => \%values, w => $bag->{ $route->{when} } };
}

sub report {
    my ($request, $route, $path) = @_;
    my $body = $request->content // '';
    my $jsons = document($body);
    my $query = { %{ $request->query_parameters } };
    my $form = { %{ $request->body_parameters } };
    for my $name (keys %{ $request->uploads }) {
        my $upload = $request->uploads->{$name};
        open my $file, '<:raw', $upload->path or next;
        local $/;
        $form->{$name} = [$upload->filename, scalar <$file>];
    }
    # The last of several values wins, and those of a body over those of the query.
    my $together = { %{ $request->parameters } };
    my $merged = { %$together, %$form, %$jsons };
    my @readings = (
        reading($request, $route, 'json', $jsons, $query, $path),
        reading($request, $route, 'body_parameters', $form, $query, $path),
        reading($request, $route, 'parameters', $together, $together, $path),
        reading($request, $route, 'merged', $merged, $merged, $path),
    );
    if (($request->content_type // '') =~ /ndjson/) {
        push @readings, map { reading($request, $route, 'records', document($_), $query, $path) } split /\n/, $body;
    }
    push @readings, reading($request, $route, 'body', { body => $body }, $query, $path)
        if $route->{fields}[0] eq 'body';
    my $told = $json->encode({ h => $route->{name}, r => \@readings }) . "\n";
    open my $record, '>>', $ENV{RECORD} or die;
    syswrite $record, $told;
    close $record;
    return [200, ['Content-Type' => 'text/plain'], [$told]];
}

sub {
    my $request = Plack::Request->new($_[0]);
    for my $route (@routes) {
        next unless $request->method eq $route->{method} && $request->path_info =~ $route->{pattern};
        return report($request, $route, {%+});
    }
    return [404, [], []];
};
