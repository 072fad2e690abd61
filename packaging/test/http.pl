#!/usr/bin/perl
# An application, and clients that count what becomes of their requests:
#   http.pl serve ADDRESS                        answers each request with a page
#   http.pl get ADDRESS SOURCE [PATH [HOST]]     writes one answer
#   http.pl load ADDRESS SOURCE CLIENTS REPORT   asks until SIGTERM, then writes the counts; half of the clients keep
#                                                their connections
use strict;
use warnings;
use IO::Socket::INET;
$SIG{PIPE} = 'IGNORE';
my ($what, $address, $source, @rest) = @ARGV;
my $page = "a page of the application\n";

sub connected { IO::Socket::INET->new(PeerAddr => $address, LocalAddr => $source, Timeout => 20) }

sub ask {
    my ($socket, $keep, $path, $host) = @_;
    print $socket "GET ", $path // '/', " HTTP/1.1\r\nhost: ", $host // 'shop.example', "\r\n", $keep ? "" : "connection: close\r\n", "\r\n";
    $socket->flush;
}

# Status, whether the connection goes on, and the body; nothing if it broke.
sub answer {
    my ($socket) = @_;
    my ($status, $length, $goes_on) = (undef, undef, 1);
    while (defined(my $line = <$socket>)) {
        $status = $1 if $line =~ m{^HTTP/1.1 (\d+)};
        $length = $1 if $line =~ m{^content-length: *(\d+)}i;
        $goes_on = 0 if $line =~ m{^connection: *close}i;
        next unless $line =~ m{^\r?$};
        my $body = '';
        while (defined $length && length($body) < $length) {
            my $read = read($socket, $body, $length - length($body), length($body));
            return unless $read;
        }
        return ($status, $goes_on, $body);
    }
    return;
}

sub serve {
    my $listener = IO::Socket::INET->new(LocalAddr => $address, Listen => 4096, ReuseAddr => 1) or die "$address: $!\n";
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $socket = $listener->accept or next;
        next if fork;
        while (1) {
            my $any;
            while (defined(my $line = <$socket>)) { $any = 1; last if $line =~ /^\r?$/ }
            exit unless $any;
            print $socket "HTTP/1.1 200 OK\r\ncontent-length: ", length $page, "\r\n\r\n$page";
            $socket->flush;
        }
    }
}

# One client: how many were answered, not let in, broken off, and not answered with 200; and how often a kept connection was
# closed before it was asked again, as HTTP lets a server do.
sub client {
    my ($keep) = @_;
    my ($stop, $socket) = (0, undef);
    my %seen = map { $_ => 0 } qw(answered refused broken other reopened);
    $SIG{TERM} = sub { $stop = 1 };
    while (!$stop) {
        my $kept = defined $socket;
        $socket //= connected();
        if (!$socket) { $seen{refused}++ unless $stop; select(undef, undef, undef, 0.005); next }
        ask($socket, $keep);
        my ($status, $goes_on) = answer($socket);
        if (!defined $status) { $stop or $seen{ $kept ? 'reopened' : 'broken' }++ }
        elsif ($status == 200) { $seen{answered}++ }
        else { $seen{other}++ }
        undef $socket unless $keep && $goes_on;
    }
    return %seen;
}

sub load {
    my ($clients, $report) = @rest;
    my @children;
    for my $number (1 .. $clients) {
        pipe(my $read, my $write);
        my $child = fork;
        if (!$child) {
            my %seen = client($number % 2);
            print $write join(' ', %seen), "\n";
            close $write;
            exit;
        }
        close $write;
        push @children, [$child, $read];
    }
    my $stop = 0;
    $SIG{TERM} = sub { $stop = 1 };
    select(undef, undef, undef, 0.05) until $stop;
    my %all;
    kill TERM => $_->[0] for @children;
    for (@children) {
        my ($read, %seen) = ($_->[1]);
        %seen = split ' ', scalar(<$read>) // 'broken 1';
        $all{$_} += $seen{$_} for keys %seen;
    }
    open(my $file, '>', $report) or die "$report: $!\n";
    print $file "$_ $all{$_}\n" for sort keys %all;
}

if ($what eq 'serve') { serve() }
elsif ($what eq 'load') { load() }
else {
    my $socket = connected() or die "$address: $!\n";
    ask($socket, 0, @rest);
    my ($status, undef, $body) = answer($socket);
    print $body // die "no answer\n";
}
