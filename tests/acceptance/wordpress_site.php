<?php
// Install WordPress in the folder where this is run, with a user that the API knows by `passwordofada`.
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = '127.0.0.1';
require getcwd() . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
['user_id' => $user] = wp_install('Clinic', 'ada', 'ada@example.com', true, '', 'password-of-ada');
update_option('permalink_structure', '/%postname%/');
WP_Application_Passwords::create_new_application_password($user, ['name' => 'tests']);
$all = WP_Application_Passwords::get_user_application_passwords($user);
$all[0]['password'] = WP_Application_Passwords::hash_password('passwordofada');
update_user_meta($user, WP_Application_Passwords::USERMETA_KEY_APPLICATION_PASSWORDS, $all);
wp_insert_post(['import_id' => 100, 'post_title' => 'Another post', 'post_status' => 'publish']);
